"""The tfds origin, with the real library on sets that it prepared itself; nothing is fetched from afar."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core import names, plugins
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.sections import Choice
from tasks.origins import tfds
from tests import little_set

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library() -> Any:
    tensorflow_datasets = pytest.importorskip("tensorflow_datasets")
    tensorflow_datasets.disable_progress_bar()
    return tensorflow_datasets


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, library: Any) -> Path:
    """A cache with sets in it. Nobody changes it."""
    folder = tmp_path_factory.mktemp("cache")
    train, test = little_set.rows("train", 12), little_set.rows("test", 6)
    little_set.prepare(folder / "tfds", {"train": train, "test": test})
    little_set.prepare(folder / "tfds", {"train": train}, "train_only")
    little_set.prepare(folder / "tfds", {"test": test}, "test_only")
    little_set.prepare(folder / "tfds", {"train": train, "test": little_set.rows("test", 6, True)}, "hidden_test")
    little_set.prepare(folder / "tfds", {"train": train, "valid": test, "extra": little_set.rows("x", 3)}, "with_valid")
    little_set.prepare(folder / "tfds", {"extra": test}, "extra_only")
    jpeg = library.features.Image(shape=(None, None, 3), encoding_format="jpeg")
    little_set.prepare(folder / "tfds", {"train": train}, "photographs", image=jpeg)
    return folder


@pytest.fixture(autouse=True)
def no_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def fetched(cache: Path, uri: str = "tfds:little_trees", **options: Any) -> list[Picture]:
    told: list[tuple[int, int]] = []
    request = Request("trees", 3, 32, cache, lambda done, total: told.append((done, total)))
    found = list(tfds.fetch(tfds.Options(uri=uri, **options), request))
    assert told == sorted(told) and told[-1][0] == told[-1][1]
    return found


def splits(found: list[Picture]) -> Counter[str]:
    return Counter(one.split for one in found)


def test_a_prepared_set_is_read_by_name_as_it_was_encoded(cache: Path) -> None:
    found = fetched(cache)
    given = [*little_set.rows("test", 6), *little_set.rows("train", 12)]
    pixels = {row["image"].tobytes(): little_set.NAMES[row["label"]] for row in given}
    assert {np.asarray(Image.open(io.BytesIO(one.data))).tobytes(): one.label for one in found} == pixels
    assert found[0].path == f"{found[0].label}/test-000000.png"
    assert len({one.path for one in found}) == 18 and all(names.is_safe(one.path) for one in found)
    assert {one.path.rpartition("/")[0] for one in found} == set(little_set.NAMES)
    assert fetched(cache) == found
    assert fetched(cache, "tfds:little_trees:1.0.0") == found


def test_jpegs_stay_the_jpegs_they_were(cache: Path) -> None:
    found = fetched(cache, "tfds:photographs")
    assert all(one.path.endswith(".jpg") and one.data.startswith(b"\xff\xd8") for one in found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("little_trees", {"train": 12, "test": 6}),
        ("with_valid", {"train": 12, "validation": 6}),
        ("train_only", {"": 12}),
        ("test_only", {"": 6}),
        ("hidden_test", {"": 12}),
    ],
)
def test_the_sets_own_splits_are_kept_where_they_hold_something_out(
    cache: Path, name: str, expected: dict[str, int]
) -> None:
    assert splits(fetched(cache, f"tfds:{name}")) == expected


def test_splits_can_be_left_to_be_drawn(cache: Path) -> None:
    assert splits(fetched(cache, keep_splits=False)) == {"": 18}


def test_the_first_of_each_class_and_split_can_be_had_alone(cache: Path) -> None:
    every, few = fetched(cache), fetched(cache, most_per_class=1)
    first: dict[tuple[str, str], Picture] = {}
    for one in every:
        first.setdefault((one.label, one.split), one)
    assert few == list(first.values()) and len(few) == 6
    assert fetched(cache, most_per_class=4) == every


def test_the_environment_may_name_another_data_folder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(cache / "tfds"))
    assert fetched(tmp_path / "elsewhere") == fetched(cache)
    assert list(tmp_path.iterdir()) == []


def test_a_bare_uri_chooses_the_set() -> None:
    chosen = plugins.resolve("tasks.origins", Choice.model_validate("tfds:cifar10_corrupted/fog_1:1.0.0"), "x")
    assert chosen.options.set_name == "cifar10_corrupted/fog_1:1.0.0"


@pytest.mark.parametrize(
    "uri",
    [
        "tfds:",
        "tfds:../x",
        "tfds:x/..",
        "tfds:x/a..b",
        "tfds:x/../y",
        "tfds:/x",
        "tfds:x/y/z",
        "tfds:X",
        "tfds:huggingface:x",
        "tfds:user/x:y",
        "tfds:x:latest",
        "tfds:x/config=1,data_dir=y",
        "tfds:x ",
        "tfds:x\n",
        "s3:x",
        "gs://x/y",
    ],
)
def test_a_uri_of_another_form_is_refused_at_once(uri: str) -> None:
    with pytest.raises(BadInput, match="data.source.origin.uri is .*it should be tfds:NAME, tfds:NAME/CONFIG or"):
        plugins.resolve("tasks.origins", Choice(name="tfds", uri=uri), "data.source.origin")


def refused(cache: Path, uri: str, kind: type[Exception] = BadInput, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        fetched(cache, uri, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_that_does_not_exist_is_named_with_those_that_sound_alike(cache: Path) -> None:
    assert "there is no set oxford_flower102; did you mean oxford_flowers102" in refused(cache, "tfds:oxford_flower102")
    assert "there is no set qqq; `tfds.list_builders()` names all" in refused(cache, "tfds:qqq")
    assert "BuilderConfig nope not found" in refused(cache, "tfds:cifar10_corrupted/nope")
    assert "cannot be loaded at version 0.0.7" in refused(cache, "tfds:beans:0.0.7")


def test_a_set_without_such_features_or_splits_is_named_with_what_it_has(cache: Path) -> None:
    here = "it has image (Image), label (ClassLabel), note (Text)"  # by name: files keep no order
    assert f"has no Image under image_key 'photo'; {here}" in refused(cache, "tfds:little_trees", image_key="photo")
    assert f"no ClassLabel under label_key 'note'; {here}" in refused(cache, "tfds:little_trees", label_key="note")
    assert "has no train, validation or test split; found extra" in refused(cache, "tfds:extra_only")


# Downloads, from a server of our own


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Answers every request with the same four bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if "missing" in self.path else 200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"data")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Keep the terminal clean."""

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def downloaded(library: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers a set whose one file is to be had from `url`; its checksum is that of `content`."""
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.core.download.checksums import UrlInfo

    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)

    def register(url: str, content: bytes = b"data", module: str = "", manual: str = "") -> None:
        def info(self: Any) -> Any:
            features = {"image": library.features.Image(), "label": library.features.ClassLabel(names=["a", "b"])}
            return library.core.DatasetInfo(builder=self, features=library.features.FeaturesDict(features))

        def generators(self: Any, manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
            if module:
                __import__(module)
            if manual:
                print(manager.manual_dir)
            assert Path(manager.download(url)).read_bytes() == content
            rows = [(number, {"image": little_set.picture(number), "label": number % 2}) for number in range(4)]
            return {"train": iter(rows)}

        digest = hashlib.sha256(content).hexdigest()
        methods = {
            "VERSION": library.core.Version("1.0.0"),
            "url_infos": {url: UrlInfo(size=len(content), checksum=digest, filename="file.bin")},
            "MANUAL_DOWNLOAD_INSTRUCTIONS": manual or None,
            "_info": info,
            "_split_generators": generators,
            "_generate_examples": lambda self: iter(()),
        }
        with registered.skip_registration():
            kind = type("FarTrees", (library.core.GeneratorBasedBuilder,), methods)
        monkeypatch.setitem(registered._DATASET_REGISTRY, "far_trees", kind)

    return register


def address(server: HTTPServer, path: str = "file.bin") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


def test_what_is_not_there_is_downloaded_once_and_kept_in_the_cache(
    downloaded: Any, server: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    downloaded(address(server))
    found = fetched(tmp_path / "cache", "tfds:far_trees")
    assert len(found) == 4
    server.shutdown()
    assert fetched(tmp_path / "cache", "tfds:far_trees") == found
    assert {path.name for path in tmp_path.iterdir()} == {"home", "cache"} and list(home.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_wrong_checksum_is_refused(downloaded: Any, server: HTTPServer, tmp_path: Path) -> None:
    downloaded(address(server), b"other")
    told = refused(tmp_path, "tfds:far_trees")
    assert "far_trees: wrong checksum: " in told and address(server) in told
    assert not list((tmp_path / "tfds" / "far_trees").glob("1.0.0"))


def test_a_server_out_of_reach_is_told_with_what_to_do(downloaded: Any, server: HTTPServer, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        downloaded(f"http://127.0.0.1:{closed.getsockname()[1]}/x")
        told = refused(tmp_path, "tfds:far_trees", EnvironmentProblem)
    assert "server cannot be reached" in told and "TFDS_DATA_DIR" in told
    downloaded(address(server, "missing"))
    assert "HTTP code: 404" in refused(tmp_path, "tfds:far_trees", EnvironmentProblem)


def test_what_else_a_set_needs_is_named(downloaded: Any, server: HTTPServer, tmp_path: Path) -> None:
    downloaded(address(server), module="no_such_module")
    told = refused(tmp_path, "tfds:far_trees", EnvironmentProblem)
    assert "No module named 'no_such_module'" in told
    downloaded(address(server), manual="Ask the authors.")
    told = refused(tmp_path, "tfds:far_trees", EnvironmentProblem)
    assert "fetched by hand" in told and str(tmp_path / "tfds" / "downloads" / "manual") in told


def test_the_library_finds_the_checksums_of_its_own_sets(library: Any, tmp_path: Path) -> None:
    # needs the module importlib_resources, which version 4.9.10 imports and does not require
    assert library.builder("oxford_flowers102", data_dir=tmp_path).url_infos


def test_the_origin_alone_loads_neither_the_library_nor_tensorflow() -> None:
    code = (
        "import sys, tasks.origins.tfds; print([m for m in ('tensorflow_datasets', 'tensorflow') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout == "[]\n", done.stderr
