"""Large sets: what is read, packed and compared piece by piece is the same as whole, and memory hardly grows."""

import hashlib
import io
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from graft.core import duplicates
from graft.core import settings as settings_file
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import extract, ingest, splits
from tasks.adapters import arrays, manifest
from tasks.adapters.manifest import Row
from tasks.choices import Choices
from tasks.gate import examine, rules
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]
FEW, MANY = 400, 1_600
BYTES_A_PICTURE = 600
"""Far below a row as an object (1.2 kB), let alone a picture; the arrays that splits are drawn from are some 100."""


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 120, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def made(folder: Path, n: int) -> tuple[Workspace, Settings, Choices]:
    """A workspace for `n` pictures of each domain, each with bytes of its own."""
    workspace = Workspace(folder)
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / "params.yaml", workspace.params)
    small = ["data.modality={name: image, size_px: 16}", "extract.components=2", "extract.projected_per_domain=20"]
    settings_file.set_values(workspace.params, small, lambda settings: None)
    data = png()

    def fetch(options: object, request: Request) -> Iterator[Picture]:
        for number in range(n):
            yield Picture(f"{number % 2}/{number}.png", f"class {number % 2}", data + str(number).encode())

    origin = Plugin("many", SimpleNamespace(fetch=fetch), None)
    settings = settings_file.load(workspace.params)
    return workspace, settings, replace(Choices.of(settings), source_origin=origin, target_origin=origin)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".tar", ".npy", ".npz")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def both(place: tuple[Workspace, Settings, Choices]) -> None:
    ingest.ingest(*place)
    rules.write(place[0].rejected, [])
    extract.extract(*place)


def test_the_size_of_pieces_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = made(tmp_path / "whole", 60), made(tmp_path / "pieces", 60)
    both(whole)
    monkeypatch.setattr(manifest, "PIECE_ROWS", 7)
    monkeypatch.setattr(ingest, "RECENT", 5)
    both(pieces)
    assert contents(whole[0].root) == contents(pieces[0].root)
    assert manifest.read(whole[0].manifest) == manifest.read(pieces[0].manifest)


def test_row_groups_of_any_size_hold_the_same_rows(tmp_path: Path) -> None:
    blank = Row("source", "", "", "a", "train", 1, 1, "RGB", "PNG", 1, "", "", "s", 0, "", "", "")
    rows = [replace(blank, path=f"é{number}", offset=number) for number in range(50)]
    for size in (1, 7, 50, 1_000):
        assert manifest.write(tmp_path / f"{size}.parquet", rows, size) == 50
        assert manifest.read(tmp_path / f"{size}.parquet") == rows


def peak(work: Callable[[], object]) -> int:
    """Most bytes that Python and numpy held meanwhile beyond what they hold now."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_ingest_and_extract_hold_no_more_than_a_few_hundred_bytes_of_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "PCA_ROWS", 20)
    monkeypatch.setattr(ingest, "RECENT", 50)
    monkeypatch.setattr(manifest, "PIECE_ROWS", 50)
    both(made(tmp_path / "warm", 40))  # imports, and what they keep
    few, many = made(tmp_path / "few", FEW), made(tmp_path / "many", MANY)
    for work in (ingest.ingest, extract.extract):
        for place in (few, many):
            rules.write(place[0].rejected, [])
        grown = peak(lambda: work(*many)) - peak(lambda: work(*few))  # noqa: B023
        assert grown / (2 * (MANY - FEW)) < BYTES_A_PICTURE


def test_drawing_splits_holds_some_bytes_of_a_row() -> None:
    blank = Row("source", "", "", "a", "", 1, 1, "RGB", "PNG", 1, "", "", "s", 0, "", "", "")
    draw = splits.Draw(0)

    def add() -> None:
        for number in range(5_000):
            draw.add(replace(blank, sha256=str(number)))

    assert peak(add) < 5_000 * 80


@pytest.mark.parametrize("at", [3, 90])
def test_a_path_that_came_long_before_is_still_refused(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "RECENT", 10)
    workspace, settings, choices = made(tmp_path, 0)

    def fetch(options: object, request: Request) -> Iterator[Picture]:
        for number in range(100):
            yield Picture(f"a/{1 if number == at else number}.png", "a", png())

    twice = Plugin("twice", SimpleNamespace(fetch=fetch), None)
    with pytest.raises(BadInput, match=r"data\.source\.origin: 'a/1\.png' comes twice"):
        ingest.ingest(workspace, settings, replace(choices, source_origin=twice))
    assert not workspace.manifest.exists() and not list(workspace.private.glob("ingest-*"))


def test_a_split_written_picture_by_picture_is_the_one_that_was_mapped(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (5, 4, 4, 3), np.uint8)
    numbers = np.arange(5)
    for array, values in zip(arrays.create(tmp_path / "mapped", 5, (4, 4, 3)), (pixels, numbers, numbers), strict=True):
        array[:] = values
        array.flush()
    with arrays.Writer(tmp_path / "written", (4, 4, 3), numbers, numbers) as written:
        for one in pixels:
            written.add(one)
    assert contents(tmp_path / "mapped") == contents(tmp_path / "written")
    with pytest.raises(ValueError, match="0 of"):
        written.add(pixels[0])
    with (
        pytest.raises(ValueError, match="1 pictures were announced"),
        arrays.Writer(tmp_path / "short", (4, 4, 3), numbers[:1], numbers[:1]),
    ):
        pass


def test_copies_are_the_same_pairs_however_many_rows_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, duplicates.N_VALUES)).astype(np.float16)
    rows[40:] = rows[:20] + np.float16(0.003)
    pairs, distances = duplicates.near(rows, 0.08)
    found, best = duplicates.nearest(rows[40:], rows[:40], 0.08)
    assert len(pairs) == 20 and found.tolist() == list(range(20))
    monkeypatch.setattr(duplicates, "_PIECE", 7)
    for now, before in zip(
        (*duplicates.near(rows, 0.08), *duplicates.nearest(rows[40:], rows[:40], 0.08)),
        (pairs, distances, found, best),
        strict=True,
    ):
        np.testing.assert_array_equal(now, before)


def test_descriptors_read_from_their_file_are_those_in_memory(tmp_path: Path) -> None:
    """Whatever rows are asked for, in whatever order, of whichever pieces of the file."""
    generator = np.random.default_rng(0)
    n = 2 * examine.PIECE + 3
    every = generator.normal(size=(n, duplicates.N_VALUES)).astype(np.float16)
    every.tofile(tmp_path / "descriptors")
    described = examine.Described(tmp_path / "descriptors")
    for rows in (np.arange(n), generator.integers(0, n, 500), np.array([n - 1]), np.arange(n)[::-7], np.arange(0)):
        assert np.array_equal(described[rows], every[rows])
    some = np.sort(generator.choice(n, 200, replace=False))
    every[some[100:]] = every[some[:100]]
    every.tofile(tmp_path / "descriptors")
    pairs, distances = duplicates.near(duplicates.Picked(described, some), 0.08)
    assert len(pairs) >= 100 and np.array_equal(pairs, duplicates.near(every[some], 0.08)[0])
    assert np.array_equal(distances, duplicates.near(every[some], 0.08)[1])
