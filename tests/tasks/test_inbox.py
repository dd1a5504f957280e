"""The inbox: pictures sent from a folder lie in a real store once, are taken by ingest, and nothing bad gets in."""

import io
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from graft.core import settings as settings_file
from graft.core.errors import BadInput, EnvironmentProblem
from tasks import fetch, inbox, ingest
from tasks.adapters import manifest
from tasks.choices import Choices
from tasks.workspace import Workspace
from tests.store import Server, connect

ROOT = Path(__file__).parents[2]
TAKEN = (
    "data.source.origin={name: shapes, images_per_class: 6}",
    "data.target.origin={name: shapes, images_per_class: 6}",
    "data.target.inbox=true",
)


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def place(credentials: None, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose target takes an inbox, in a bucket of its own."""
    bucket = f"inbox-{uuid.uuid4().hex[:8]}"
    connect(s3).create_bucket(Bucket=bucket)
    monkeypatch.setenv("GRAFT_BUCKET", bucket)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "clone"
    root.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    settings_file.set_values(root / "params.yaml", list(TAKEN), Choices.of)
    return Workspace(root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of the target, and what is no picture by name."""
    for number, name in enumerate(("clover/a.png", "clover/deep/b.PNG", "daisy/c.jpg")):
        draw(tmp_path / "new" / name, number)
    (tmp_path / "new" / "clover" / "notes.txt").write_text("x")
    return tmp_path / "new"


def add(place: Workspace, folder: Path, new: bool = False, role: str = "target") -> str:
    said, console = settings_file.load(place.params), Console(file=io.StringIO(), soft_wrap=True)
    domain = said.data.source if role == "source" else said.data.target
    inbox.add(place, Choices.of(said), role, domain, folder, new, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def taken(place: Workspace) -> list[tuple[str, str]]:
    """Path and label of what ingest has of the inbox."""
    said = settings_file.load(place.params)
    ingest.ingest(place, said, Choices.of(said))
    rows = manifest.read(place.manifest, "target")
    return sorted((row.path, row.label) for row in rows if row.path.startswith("inbox/"))


def held(place: Workspace) -> list[inbox.Held]:
    return inbox.held(settings_file.load(place.params).data.target)


def test_what_is_sent_is_taken_once_and_known_when_it_changes(place: Workspace, folder: Path) -> None:
    choices = Choices.of(settings_file.load(place.params))
    assert taken(place) == []  # an empty inbox is none
    before = fetch.look(place, choices, "code").data
    assert "sent 3 of 3 pictures of 2 classes" in add(place, folder)
    assert fetch.look(place, choices, "code").data["target"] != before["target"]
    assert fetch.look(place, choices, "code").data["source"] == before["source"]

    found = taken(place)
    assert [(path.rpartition("/")[0], path.rpartition(".")[2], label) for path, label in found] == [
        ("inbox/clover", "png", "clover"),
        ("inbox/clover", "png", "clover"),
        ("inbox/daisy", "jpg", "daisy"),
    ]
    assert [(one.label, one.pictures) for one in held(place)] == [("clover", 2), ("daisy", 1)]

    same = fetch.look(place, choices, "code").data
    shutil.copy(folder / "clover/a.png", folder / "clover/again.png")
    assert "sent 0 of 4 pictures" in add(place, folder)
    assert fetch.look(place, choices, "code").data == same and taken(place) == found


def test_an_inbox_that_is_not_asked_for_is_not_looked_at(place: Workspace, folder: Path) -> None:
    add(place, folder)
    settings_file.set_values(place.params, ["data.target.inbox=false"], Choices.of)
    assert taken(place) == []
    with pytest.raises(BadInput, match=r"data\.target\.inbox is false, and no run would take") as refused:
        add(place, folder)
    assert "inbox: true" in str(refused.value)
    with pytest.raises(BadInput, match=r"data\.source\.inbox is false"):
        add(place, folder, role="source")


def _damage(folder: Path) -> None:
    whole = (folder / "daisy/c.jpg").read_bytes()
    (folder / "daisy/d.jpg").write_bytes(whole[: len(whole) // 2])


def _link(folder: Path) -> None:
    (folder / "clover/link.png").symlink_to(folder / "daisy/c.jpg")


def _two_labels(folder: Path) -> None:
    shutil.copy(folder / "clover/a.png", folder / "daisy/a.png")


def _new_class(folder: Path) -> None:
    draw(folder / "clovr/x.png", 9)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_damage, r"daisy/d\.jpg: unreadable: .*\n1 of 4 files would not be taken, and nothing was sent"),
        (_link, r"clover/link\.png: unsafe_file: is a symbolic link"),
        (_two_labels, r"daisy/a\.png is of class 'clover', as clover/a\.png says; one picture has one label"),
        (_new_class, r"'clovr' is no class of plants; classes: .*clover.*; --new-classes lets it in"),
    ],
)
def test_what_would_stop_every_run_is_refused_and_nothing_is_sent(
    place: Workspace, folder: Path, spoil: Callable[[Path], None], told: str
) -> None:
    taken(place)
    spoil(folder)
    with pytest.raises(BadInput, match=told):
        add(place, folder)
    assert held(place) == []


def test_a_picture_that_is_of_another_class_already_is_refused(place: Workspace, folder: Path) -> None:
    add(place, folder)
    (folder / "daisy/a.png").write_bytes((folder / "clover/a.png").read_bytes())
    (folder / "clover/a.png").unlink()
    with pytest.raises(BadInput, match=r"daisy/a\.png is of class 'clover' already"):
        add(place, folder)
    assert [(one.label, one.pictures) for one in held(place)] == [("clover", 2), ("daisy", 1)]


def test_a_class_with_an_odd_name_may_be_let_in(place: Workspace, tmp_path: Path) -> None:
    taken(place)
    draw(tmp_path / "odd" / "50% new, ü" / "x.png", 4)
    assert "sent 1 of 1 pictures of 1 class to" in add(place, tmp_path / "odd", new=True)
    assert [one.label for one in held(place)] == ["50% new, ü"]
    assert [label for _, label in taken(place)] == ["50% new, ü"]
    draw(tmp_path / "odd" / "new\\er" / "x.png", 5)
    with pytest.raises(BadInput, match="has a character that no store keeps; rename it"):
        add(place, tmp_path / "odd", new=True)


def test_a_store_that_is_away_is_said(place: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for does in (lambda: add(place, folder), lambda: held(place), lambda: taken(place)):
        with pytest.raises(EnvironmentProblem, match="127.0.0.1:9"):
            does()
    monkeypatch.delenv("GRAFT_BUCKET")
    with pytest.raises(EnvironmentProblem, match="no store is named"):
        taken(place)
