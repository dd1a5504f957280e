"""What jobs find of raw shards is what the stages find themselves; what is damaged or lacking they find themselves."""

import io
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from graft.core import settings as settings_file
from graft.core.dataset import Picture
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.plugins import Plugin
from graft.core.sections import Choice, Settings
from graft.hub.bucket import Bucket
from graft.modalities import image
from tasks import ahead, extract, ingest, jobs, shard_jobs, shard_work, works
from tasks.adapters import manifest, shards
from tasks.adapters.shards import ShardWriter
from tasks.ahead import ROWS, WHOLE, Ahead
from tasks.choices import Choices
from tasks.gate import examine, rules
from tasks.gate.rules import Breach
from tasks.workspace import Workspace
from tests.hub import little_release
from tests.tasks.gate import work

ROOT = Path(__file__).parents[2]
MODALITY = Plugin("image", image, image.Options(size_px=16))
DEADLY = Plugin(
    "image",
    SimpleNamespace(measure=work.measured, Measures=image.Measures, decode=work.decoded, spec=image.spec),
    MODALITY.options,
)


def picture(seed: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


SOUND = [picture(seed) for seed in range(5)] + [picture(5, "JPEG")]
OTHERS = [picture(seed) for seed in range(20, 23)]
BAD = [picture(6)[:-300], b"", picture(7, "GIF"), picture(8, "JPEG")[:200]]


def packed(root: Path, role: str, pictures: list[bytes], shard_bytes: int = 64_000_000) -> list[tuple[Any, ...]]:
    """The rows of a manifest, the pictures in shards."""
    (root / role).mkdir(parents=True)
    with ShardWriter(root / role, shard_bytes) as shards:
        every = [shards.add(f"é{'x' * 120}/{number}.png", data) for number, data in enumerate(pictures)]
    return [(role, one.shard, one.offset, one.bytes_, "") for one in every]


Found = tuple[dict[str, list[Any]], bytes, bytes]


class Gate(NamedTuple):
    """Pictures of both domains, and what jobs measured of them."""

    root: Path
    frame: Any
    modality: Plugin

    @classmethod
    def of(cls, root: Path, modality: Plugin, source: list[bytes], target: list[bytes]) -> "Gate":
        rows = [*packed(root, "source", source, 14_000), *packed(root, "target", target)]
        return cls(root, pd.DataFrame(rows, columns=["domain", "shard", "offset", "bytes", "problem"]), modality)

    @property
    def known(self) -> Ahead:
        return Ahead(self.root / "ahead", self.modality)

    @property
    def shards(self) -> list[Path]:
        return sorted(self.root.glob("*/shard-*.tar"))

    def measured(self, known: Ahead | None) -> Found:
        folders = {role: self.root / role for role in ("source", "target")}
        seen = examine.pixels(self.frame, folders, self.modality, self.root, lambda done, total: None, known)
        columns = {name: list(values) for name, values in seen.columns.items()}
        return columns, seen.descriptors.read_bytes(), seen.thumbs.read_bytes()

    def measure(self) -> None:
        for shard in self.shards:
            (folder := self.known.place(shard)).mkdir(parents=True)
            shard_work.measure(shard, self.modality, folder)

    def brighten(self) -> None:
        """Say of every shard what it does not show."""
        for folder in self.known.folder.iterdir():
            rows = [row | {"brightness": 0.125} for row in ahead.rows(folder / ROWS)]
            ahead.write(folder, examine.KINDS, [rows])


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gate, Found]:
    """Measured by jobs, and what the gate finds alone. Nobody changes it."""
    gate = Gate.of(tmp_path_factory.mktemp("gate"), MODALITY, [*SOUND[:3], *BAD, *SOUND[3:]], OTHERS)
    gate.measure()
    return gate, gate.measured(None)


@pytest.fixture
def gate(gated: tuple[Gate, Found], tmp_path: Path) -> Gate:
    shutil.copytree(gated[0].root, tmp_path / "gate")
    return gated[0]._replace(root=tmp_path / "gate")


def test_measures_of_jobs_are_those_of_the_gate(gate: Gate, gated: tuple[Gate, Found]) -> None:
    alone = gated[1]
    assert len(gate.shards) == 3
    assert [text.partition(":")[0] for text in alone[0]["problem"][3:7]] == [
        *("unreadable", "unreadable", "format", "unreadable")
    ]
    assert gate.measured(gate.known) == alone
    gate.brighten()
    assert gate.measured(gate.known)[0]["brightness"] == [0.125] * len(gate.frame)  # nothing was decoded


@pytest.mark.parametrize("lacking", [[0], [1, 2], [0, 2]])
def test_shards_that_are_damaged_or_unknown_are_measured_anew(
    gate: Gate, gated: tuple[Gate, Found], lacking: list[int]
) -> None:
    gate.brighten()
    for index in lacking:
        rows = gate.known.place(gate.shards[index]) / ROWS
        data = rows.read_bytes()
        rows.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    anew = [gate.shards[index] for index in lacking]
    mine = [gate.root / one.domain / one.shard in anew for one in gate.frame.itertuples()]
    alone, found = gated[1], gate.measured(gate.known)
    assert found[0]["brightness"] == [
        one if new else 0.125 for one, new in zip(alone[0]["brightness"], mine, strict=True)
    ]
    assert found[1:] == alone[1:]


def test_what_is_said_of_fewer_pictures_is_not_taken(gate: Gate, gated: tuple[Gate, Found]) -> None:
    gate.brighten()
    first, second, third = (gate.known.place(shard) for shard in gate.shards)
    ahead.write(first, examine.KINDS, [list(ahead.rows(first / ROWS))[:1]])
    (second / WHOLE).write_text("[]")
    shutil.rmtree(third)
    assert gate.measured(gate.known) == gated[1]


def test_a_damaged_shard_is_measured_by_the_gate(tmp_path: Path) -> None:
    gate = Gate.of(tmp_path, MODALITY, [], SOUND[:3])
    with gate.shards[0].open("r+b") as shard:
        shard.truncate(int(gate.frame["offset"][1]) + 100)
    gate.measure()
    assert [one["problem"] for one in ahead.rows(gate.known.place(gate.shards[0]) / ROWS)][:1] == [""]
    problems = gate.measured(gate.known)[0]["problem"]
    assert [text.partition(":")[0] for text in problems] == ["", "unreadable", "unreadable"]


def test_a_picture_that_kills_its_decoder_is_told_by_a_job_as_by_the_gate(tmp_path: Path) -> None:
    gate = Gate.of(tmp_path, DEADLY, [], [SOUND[0], work.KILLER])
    gate.measure()
    problems = gate.measured(gate.known)[0]["problem"]
    assert problems == ["", "unreadable: its decoder crashed, or wanted too much memory"]


def test_what_does_not_decode_is_left_out_of_what_was_decoded(tmp_path: Path) -> None:
    rows = packed(tmp_path, "source", [BAD[0], work.KILLER, SOUND[5]])
    (tmp_path / "made").mkdir()
    shard_work.decode(tmp_path / "source" / "shard-00000.tar", DEADLY, tmp_path / "made")
    (found,) = ahead.rows(tmp_path / "made" / ROWS)
    assert (found["offset"], found["bytes"]) == rows[-1][2:4]
    assert found["picture"] == image.decode(SOUND[5], MODALITY.options).tobytes()


def test_a_shard_has_another_name_under_other_settings_and_with_other_bytes(tmp_path: Path) -> None:
    packed(tmp_path, "source", SOUND[:1])
    packed(tmp_path, "target", SOUND[1:2])
    shards = [tmp_path / role / "shard-00000.tar" for role in ("source", "target")]
    larger = replace(MODALITY, options=image.Options(size_px=32))
    names = {Ahead(tmp_path, one).place(shard) for one in (MODALITY, larger) for shard in shards}
    assert len(names) == 4 and Ahead(tmp_path, MODALITY).place(shards[0]) in names


def fetch(options: Any, request: Any) -> Iterator[Picture]:
    for number in range(40):
        data = picture(number)
        yield Picture(f"{number}.png", f"class {number % 2}", data[:-300] if number == 7 else data)


@pytest.fixture
def ingested(tmp_path: Path) -> tuple[Workspace, Settings, Choices]:
    """Forty pictures, one of which is damaged, as both domains: they have the same shard."""
    workspace = Workspace(tmp_path / "clone")
    workspace.root.mkdir()
    shutil.copy(ROOT / "params.yaml", workspace.params)
    settings_file.set_values(workspace.params, ["data.modality={name: image, size_px: 16}"], lambda settings: None)
    settings = settings_file.load(workspace.params)
    origin = Plugin("noise", SimpleNamespace(fetch=fetch), None)
    choices = replace(Choices.of(settings), source_origin=origin, target_origin=origin)
    ingest.ingest(workspace, settings, choices)
    return workspace, settings, choices


def reject(workspace: Workspace) -> None:
    bad = [one for one in manifest.read(workspace.manifest) if one.path == "7.png"]
    rules.write(
        workspace.rejected,
        [Breach("unreadable", "reject", one.domain, 7, one.path, one.label, one.split, "", "", 1.0) for one in bad],
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


@pytest.fixture
def bucket(credentials: None, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new, empty bucket, and a cache of one's own."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    yield from little_release.opened(f"ahead-{uuid.uuid4().hex}", monkeypatch, s3.endpoint)


def test_both_stages_have_a_shard_sent_once_and_extract_takes_what_was_decoded(
    ingested: tuple[Workspace, Settings, Choices], bucket: Bucket
) -> None:
    workspace, settings, choices = ingested
    sent: list[str] = []

    def send(path: Path) -> str:
        sent.append(jobs.bundles.send(bucket, path))
        return sent[-1]

    reject(workspace)
    extract.extract(workspace, settings, choices)
    alone = contents(workspace.features)
    for stage in shard_jobs.WORK:
        wanted = shard_jobs.wanted(workspace, settings, stage)
        given = list(shard_jobs.due(settings, stage, wanted, send))
        assert len(wanted) == len(given) == 1
        for one in given:
            jobs.do(one.job, works.WORK[one.job.work])
            assert jobs.collect(bucket, one.job, one.into, one.last)
        assert list(shard_jobs.due(settings, stage, wanted, send)) == []
        known = Ahead.of(workspace, stage, choices.modality)
        assert all(known.file(one.shard) for one in wanted)
    assert len(sent) == 2 and len(set(sent)) == 1  # for the second stage nothing is sent

    extract.extract(workspace, settings, choices)
    assert contents(workspace.features) == alone and not workspace.ahead("extract").exists()
    assert workspace.ahead("validate").exists()


def test_leftovers_are_kept_if_they_are_whole_and_of_these_shards(
    ingested: tuple[Workspace, Settings, Choices],
) -> None:
    workspace, settings, choices = ingested
    (one,) = shard_jobs.wanted(workspace, settings, "validate")
    (one.folder.parent / "of other settings").mkdir(parents=True)
    one.folder.mkdir()
    ahead.write(one.folder, {}, [[{"offset": 512, "bytes": 9}]])
    assert shard_jobs.wanted(workspace, settings, "validate") == [one]
    assert list(workspace.ahead("validate").iterdir()) == [one.folder]
    assert list(shard_jobs.due(settings, "validate", [one], str)) == []
    (one.folder / ROWS).write_bytes(b"damaged")
    assert shard_jobs.wanted(workspace, settings, "validate") == [one]
    assert not one.folder.exists()
    (due,) = shard_jobs.due(settings, "validate", [one], str)
    assert due.job.label == f"{settings.data.target.name}: measure shard-00000.tar" and due.into == one.folder


def test_a_row_that_no_job_could_decode_ends_extract_as_ever(
    ingested: tuple[Workspace, Settings, Choices],
) -> None:
    workspace, settings, choices = ingested
    rules.write(workspace.rejected, [])
    with pytest.raises(BadInput) as alone:
        extract.extract(workspace, settings, choices)
    known = Ahead.of(workspace, "extract", choices.modality)
    for one in shard_jobs.wanted(workspace, settings, "extract"):
        one.folder.mkdir(parents=True)
        shard_work.decode(one.shard, choices.modality, one.folder)
        every = ahead.rows(one.folder / ROWS)
        pictures = [row | {"picture": bytes(255 - value for value in row["picture"])} for row in every]
        ahead.write(one.folder, {"picture": bytes}, [pictures])
    with pytest.raises(BadInput) as found:
        extract.extract(workspace, settings, choices)
    assert str(found.value) == str(alone.value) and "source picture 7.png" in str(found.value)
    reject(workspace)
    extract.extract(workspace, settings, choices)
    train = manifest.read(workspace.manifest, "source", "train")
    first = image.decode(next(shards.read(workspace.raw("source"), [train[0].place])), MODALITY.options)
    images = np.load(workspace.packed("source", "train") / "images.npy")
    np.testing.assert_array_equal(images[0], 255 - first)  # as the files say
    assert not known.folder.exists()


def test_a_job_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    packed(tmp_path, "source", SOUND[:1])
    (tmp_path / "made").mkdir()
    shard = tmp_path / "source" / "shard-00000.tar"
    with pytest.raises(EnvironmentProblem, match=r"measure shard-00000.tar: .*no_such_thing"):
        shard_work.run("measure", shard, Choice(name="no_such_thing"), tmp_path / "made")
