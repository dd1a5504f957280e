"""The folder origin: class folders or a table; what must not be read is named, not read; names survive."""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from graft.core import names, plugins
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput
from graft.core.sections import Choice
from graft.modalities import image
from tasks.origins import folder
from tasks.origins._folder import reading


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three pictures."""
    for index, label in enumerate(("ash", "birch")):
        for number in range(3):
            picture(tmp_path / "root" / label / f"{number}.png", 10 * index + number)
    return tmp_path / "root"


def fetched(root: Path, manifest: str | None = None) -> list[Picture]:
    request = Request("trees", 3, 32, root.parent / "cache")
    return list(folder.fetch(folder.Options(root=str(root), manifest=manifest), request))


def refused(root: Path, manifest: str | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        fetched(root, manifest)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problems(root: Path, manifest: str | None = None) -> dict[str, str]:
    """Why by path, of the pictures that were not read."""
    found = fetched(root, manifest)
    assert all(bool(one.problem) == (one.data == b"") for one in found)
    return {one.path: one.problem for one in found if one.problem}


# Class folders


def test_nested_pictures_belong_to_their_first_folder(root: Path) -> None:
    picture(root / "ash" / "old" / "deep" / "9.jpg")
    picture(root / "ash" / "old.png" / "8.PNG")
    found = fetched(root)
    assert [(one.label, one.path) for one in found] == [
        ("ash", "ash/0.png"),
        ("ash", "ash/1.png"),
        ("ash", "ash/2.png"),
        ("ash", "ash/old/deep/9.jpg"),
        ("ash", "ash/old.png/8.PNG"),
        ("birch", "birch/0.png"),
        ("birch", "birch/1.png"),
        ("birch", "birch/2.png"),
    ]
    assert all(one.data == (root / one.path).read_bytes() for one in found)
    assert {(one.group, one.unit, one.split, one.problem) for one in found} == {("", "", "", "")}


def test_what_is_no_picture_by_name_or_hidden_is_left_out(root: Path) -> None:
    (root / "README.md").write_text("x")
    (root / "ash" / "notes.txt").write_text("x")
    (root / "ash" / "notes").symlink_to(root / "README.md")
    picture(root / "ash" / ".hidden.png")
    picture(root / "ash" / ".thumbnails" / "0.png")
    picture(root / ".git" / "0.png")
    (root / ".linked").symlink_to(root / "ash")
    assert len(fetched(root)) == 6


@pytest.mark.parametrize("suffix", "gif webp bmp tif tiff svg eps pdf heic avif JPEG".split())
def test_pictures_of_other_kinds_are_handed_over_for_the_gate_to_refuse(root: Path, suffix: str) -> None:
    (root / "ash" / f"x.{suffix}").write_bytes(b"GIF89a or another")
    found = next(one for one in fetched(root) if one.path == f"ash/x.{suffix}")
    assert found.data == b"GIF89a or another" and found.problem == ""
    assert image.peek(found.data).problem.startswith("format: ")


def test_a_folder_that_is_missing_empty_or_of_one_class_is_named(root: Path) -> None:
    assert "no folder" in refused(root / "nowhere")
    (root / "cedar").mkdir()
    (root / "cedar" / "notes.txt").write_text("x")
    assert "cedar is empty: no picture in it" in refused(root)
    assert "at least 2 class folders; found none" in refused(root / "ash")
    (root / "alone" / "ash").mkdir(parents=True)
    (root / "alone" / "linked").symlink_to(root / "birch")
    assert "at least 2 class folders; found ash" in refused(root / "alone")


def test_folders_nest_deeper_than_the_stack(root: Path) -> None:
    held = os.open(root / "ash", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=held)
        below = os.open("d", os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = below
    os.close(held)
    assert len(fetched(root)) == 6
    subprocess.run(["rm", "-rf", root / "ash" / "d"], check=True)  # pytest's own would recurse


# What must not be read


def test_links_pipes_and_sockets_are_named_and_never_opened(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.png"
    picture(secret, 99)
    ash = root / "ash"
    (ash / "link.png").symlink_to(secret)
    (ash / "relative.png").symlink_to("0.png")
    (ash / "dangling.png").symlink_to("nowhere")
    (ash / "loop.png").symlink_to("loop.png")
    (ash / "device.png").symlink_to("/dev/zero")
    os.mkfifo(ash / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(ash)  # a socket's path must be short
        server.bind("socket.png")
    links = ("link", "relative", "dangling", "loop", "device")
    assert problems(root) == {f"ash/{name}.png": "unsafe_file: is a symbolic link" for name in links} | {
        "ash/pipe.png": "unsafe_file: is a pipe",
        "ash/socket.png": "unsafe_file: is a socket",
    }


def test_devices_are_named_and_never_opened() -> None:
    assert reading.read(Path("/dev"), "null", 10) == (b"", "unsafe_file: is a device")


def test_a_link_to_a_folder_is_one_picture_with_a_problem(root: Path) -> None:
    (root / "ash" / "linked").symlink_to(root / "birch")
    (root / "ash" / "v1.2").symlink_to(root)
    (root / "cedar").symlink_to(root / "birch")
    assert problems(root) == {path: reading.LINK for path in ("ash/linked", "ash/v1.2", "cedar")}
    assert {one.path: one.label for one in fetched(root) if one.problem} == {
        "ash/linked": "ash",
        "ash/v1.2": "ash",
        "cedar": "cedar",
    }
    assert len(fetched(root)) == 9


def test_hard_links_are_files_like_others(root: Path) -> None:
    os.link(root / "ash" / "0.png", root / "ash" / "9.png")
    assert problems(root) == {} and len(fetched(root)) == 7


def test_a_root_that_is_a_link_was_named_by_the_user(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(root)
    assert fetched(tmp_path / "shortcut") == fetched(root)


def test_a_file_that_is_too_large_is_not_read(root: Path) -> None:
    for size, name in ((folder.MAX_FILE_BYTES + 1, "large"), (folder.MAX_FILE_BYTES, "just")):
        with (root / "ash" / f"{name}.png").open("wb") as file:
            file.truncate(size)
    assert problems(root) == {"ash/large.png": "too_large: has 32000001 bytes; at most 32000000 are read"}


@pytest.mark.parametrize("becomes", ["nothing", "link", "linked folder", "pipe"])
def test_what_changes_between_listing_and_reading_is_named(root: Path, tmp_path: Path, becomes: str) -> None:
    pictures = folder.fetch(folder.Options(root=str(root)), Request("trees", 3, 32, tmp_path / "cache"))
    assert next(pictures).path == "ash/0.png"
    target = root / "ash" / "1.png"
    target.unlink()
    if becomes == "link":
        target.symlink_to(root / "birch" / "0.png")
    elif becomes == "linked folder":
        (root / "ash").rename(root / "moved")
        (root / "ash").symlink_to(root / "birch")
    elif becomes == "pipe":
        os.mkfifo(target)
    found = next(pictures)
    assert (found.path, found.data) == ("ash/1.png", b"")
    assert (
        found.problem
        == {
            "nothing": "unreadable: No such file or directory",
            "link": "unsafe_file: is a symbolic link",
            "linked folder": "unsafe_file: lies below a symbolic link",
            "pipe": "unsafe_file: is a pipe",
        }[becomes]
    )


def test_what_may_not_be_read_is_named(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    (root / "ash" / "0.png").chmod(0)
    (root / "ash" / "closed").mkdir(mode=0)
    assert problems(root) == {path: "unreadable: Permission denied" for path in ("ash/0.png", "ash/closed")}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_the_limit_holds_for_what_is_read_whatever_size_is_told() -> None:
    # files of /proc say that they are empty, as one would that grows after it was asked
    data, problem = reading.read(Path("/proc/self"), "status", 100_000)
    assert data.startswith(b"Name:") and problem == ""
    assert reading.read(Path("/proc/self"), "status", 10) == (b"", "too_large: grew to more than 10 bytes")


# Names


HOSTILE = ["a\nb", "-rf", "<img onerror>", "q'uo\"te", "caf\u00e9", "cafe\u0301", "$(x)", "a b ", "n" * 200, "CON"]


def test_hostile_names_survive(root: Path) -> None:
    for name in HOSTILE:
        picture(root / "ash" / f"{name}.png")
        picture(root / name / "0.png")
    found = {(one.label, one.path): one.data for one in fetched(root)}
    for name in HOSTILE:
        assert found["ash", f"ash/{name}.png"] == found[name, f"{name}/0.png"] == png()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_safe_text_survive_in_another_form(root: Path) -> None:
    strange = [b"\xff.png", b"100%.png", b"a\\b.png", b"%2E.png", b"\xe2\x80\xff.png", b"caf\xe9/0.png"]
    for name in strange:
        picture(root / "ash" / os.fsdecode(name))
    paths = {one.path for one in fetched(root) if one.data == png() and one.problem == ""}
    assert paths >= {"ash/%FF.png", "ash/100%25.png", "ash/a%5Cb.png", "ash/%252E.png", "ash/caf%E9/0.png"}
    assert {os.fsencode(names.from_path(path)) for path in paths} >= {b"ash/" + name for name in strange}
    assert all(names.is_safe(path) for path in paths)
    folder.fingerprint(folder.Options(root=str(root)))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_class_name_that_is_no_utf_8_is_refused(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).mkdir()
    assert "\\udcff is not UTF-8; rename it" in refused(root)


# A manifest


def table(root: Path, text: str, name: str = "labels.csv") -> str:
    (root / name).write_bytes(text.encode())
    return name


def test_a_manifest_says_label_split_and_group(root: Path) -> None:
    picture(root / "loose, odd.png", 7)
    name = table(
        root,
        "\ufeffpath, label,split,group,remark\r\n"
        "birch/1.png,tall,TEST,,x\r\n"
        '"loose, odd.png", short , val , cam 1 ,"a\nb"\r\n'
        "./ash//0.png,tall,,cam 2,\r\n"
        "\r\n"
        "ash/2.png,short,unseen,cam 3,\r\n",
    )
    found = fetched(root, name)
    assert [(one.path, one.label, one.split, one.group, one.unit) for one in found] == [
        ("birch/1.png", "tall", "test", "", ""),
        ("loose, odd.png", "short", "validation", "cam 1", "cam 1"),
        ("ash/0.png", "tall", "", "cam 2", "cam 2"),
        ("ash/2.png", "short", "unseen", "cam 3", "cam 3"),
    ]
    assert all(one.data == (root / one.path).read_bytes() for one in found)


def test_a_parquet_manifest_says_the_same_as_a_csv_one(root: Path) -> None:
    paths = [f"{label}/{number}.png" for label in ("ash", "birch") for number in range(3)]
    columns = {
        "path": paths,
        "label": [1, 1, 1, 2, 2, 2],
        "split": [None, "train", "", "valid", "test", None],
        "group": [None, None, "a", "b", float("nan"), None],
    }
    columns["group"] = [value if isinstance(value, str) else None for value in columns["group"]]
    pq.write_table(pa.table(columns), root / "labels.parquet")
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in zip(*columns.values(), strict=True)]
    name = table(root, "\n".join([",".join(columns), *lines]))
    assert fetched(root, "labels.parquet") == fetched(root, name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path;label\nash/0.png;a\n", "no column path; columns here: path;label"),
        ("path,class\nash/0.png,a\n", "no column label; columns here: path, class"),
        ("", "no column path; columns here: none"),
        ("path,label,label\nash/0.png,a,b\n", "column label is there 2 times"),
        ("path,label\nash/0.png,a\n../root/ash/1.png,b\n", "line 3: path '../root/ash/1.png' has '..' in it"),
        ("path,label\n/etc/passwd,a\nash/0.png,b\n", "line 2: path '/etc/passwd' is absolute"),
        (
            "path,label\nash/0.png,a\nash/9.png,b\nash/8.png,b\n,b\n",
            "line 3: path 'ash/9.png' names no file (and 2 more",
        ),
        ("path,label\nash/0.png,a\nash/1.png,b\nash//0.png,a\n", "line 4: path 'ash//0.png' comes twice"),
        ("path,label\nash/0.png,\nash/1.png,b\n", "line 2: label is empty"),
        ("path,label\n,a\nash/1.png,b\n", "line 2: path is empty"),
        (
            "path,label,split\nash/0.png,a,\nash/1.png,b,dev\n",
            "line 3: split is 'dev'; it should be train, validation,",
        ),
        ("path,label\nash/0.png,a\nash/1.png,b,c\n", "line 3: 3 fields; the header has 2"),
        ("path,label\nash/0.png\n", "line 2: 1 fields; the header has 2"),
        ('path,label\nash/0.png,"a\n', "no CSV: unexpected end of data"),
        ("path,label\nash/0.png,a\0\n", "line 2: not UTF-8 text; save the table"),
        ("path,label\nash/0.png,a\nash/1.png,a\n", "needs at least 2 classes; found a"),
        ("path,label\n", "needs at least 2 classes; found none"),
        (
            "path,label,group,split\nash/0.png,a,g,train\nash/1.png,b,g,\nash/2.png,b,g,test\n",
            "line 4: group 'g' is for test here and for train in line 2",
        ),
        ('path,label\n"\x1b[31m/x\n.png",a\n', "line 3: path '\\x1b[31m/x\\n.png' names no file"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named_in_one_line(root: Path, text: str, told: str) -> None:
    found = refused(root, table(root, text))
    assert found.startswith("origin folder: labels.csv: ") and told in found, found
    assert found.isprintable()


def test_a_manifest_that_is_no_text_or_no_parquet_is_named(root: Path) -> None:
    (root / "labels.csv").write_bytes(b"path,label\nash/0.png,b\xe4r\n")
    assert "line 2: not UTF-8 text; save the table as CSV in UTF-8" in refused(root, "labels.csv")
    (root / "labels.parquet").write_bytes(b"path,label\n")
    assert "labels.parquet: no parquet: " in refused(root, "labels.parquet")
    pq.write_table(pa.table({"path": ["ash/0.png"]}), root / "labels.parquet")
    assert "no column label; columns here: path" in refused(root, "labels.parquet")


def test_a_manifest_stays_below_the_root(root: Path, tmp_path: Path) -> None:
    table(tmp_path, "path,label\nash/0.png,a\nash/1.png,b\n")
    (root / "labels.csv").symlink_to(tmp_path / "labels.csv")
    assert "manifest 'labels.csv': is a symbolic link" in refused(root, "labels.csv")
    assert "manifest 'nowhere.csv': No such file or directory" in refused(root, "nowhere.csv")
    for outside in ("../labels.csv", str(tmp_path / "labels.csv"), ""):
        with pytest.raises(BadInput, match=r"data.source.origin.manifest is .*it should be a file's path relative to"):
            plugins.resolve(
                "tasks.origins", Choice(name="folder", root=str(root), manifest=outside), "data.source.origin"
            )


def test_what_a_manifest_names_is_read_as_safely(root: Path, tmp_path: Path) -> None:
    picture(tmp_path / "outside" / "0.png")
    (root / "way_out").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    name = table(root, "path,label\nash/0.png,a\nway_out/0.png,b\npipe,b\nash,b\n")
    assert problems(root, name) == {
        "way_out/0.png": "unsafe_file: lies below a symbolic link",
        "pipe": "unsafe_file: is a pipe",
        "ash": "unsafe_file: is a folder",
    }


# The fingerprint


def test_the_fingerprint_tells_a_changed_folder(root: Path) -> None:
    options = folder.Options(root=str(root))
    seen = [folder.fingerprint(options)]
    assert folder.fingerprint(options) == seen[0]
    picture(root / "ash" / "nested" / "new.png")
    seen.append(folder.fingerprint(options))
    os.utime(root / "ash" / "nested" / "new.png", (1, 1))
    seen.append(folder.fingerprint(options))
    (root / "ash" / "nested" / "new.png").rename(root / "birch" / "new.png")
    seen.append(folder.fingerprint(options))
    (root / "birch" / "new.png").unlink()
    (root / "birch" / "new.png").symlink_to("0.png")
    seen.append(folder.fingerprint(options))
    assert len(set(seen)) == 5


def test_the_fingerprint_covers_the_manifest_and_what_it_names(root: Path) -> None:
    options = folder.Options(root=str(root), manifest=table(root, "path,label\nash/0.png,a\nash/1.png,b\n"))
    seen = [folder.fingerprint(options)]
    picture(root / "ash" / "unnamed.png")
    assert folder.fingerprint(options) == seen[0]
    table(root, "path,label\nash/0.png,b\nash/1.png,a\n")
    seen.append(folder.fingerprint(options))
    os.utime(root / "ash" / "1.png", (1, 1))
    seen.append(folder.fingerprint(options))
    assert len(set(seen)) == 3
