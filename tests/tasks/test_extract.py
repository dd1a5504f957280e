"""extract: pictures packed in the manifest's order with the labels that the class names count."""

import io
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core import settings as settings_file
from graft.core.dataset import Picture, Split
from graft.core.errors import BadInput
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import extract, ingest
from tasks.adapters import arrays, files, manifest
from tasks.choices import Choices
from tasks.gate import rules
from tasks.gate.rules import Breach
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]
LABELS = ("birch", "ash", "cedar")  # handed over in another order than that of the names
PER_CLASS = 8


def png(shade: int) -> bytes:
    """A picture of one shade, another for each picture: what was packed can be told from its pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def fetch(options: Any, request: Any) -> Any:
    for index, label in enumerate(LABELS):
        for number in range(PER_CLASS):
            shade = PER_CLASS * index + number + (100 if request.role == "target" else 0)
            split = "unseen" if request.role == "target" and number == 0 else ""
            yield Picture(f"{label}/{number}.png", label, png(shade), split=split)


def ingested(folder: Path) -> tuple[Workspace, Settings, Choices]:
    workspace = Workspace(folder)
    shutil.copy(ROOT / "params.yaml", workspace.params)
    assignments = ["data.modality={name: image, size_px: 32}", "extract.components=4"]
    settings_file.set_values(workspace.params, assignments, lambda settings: None)
    settings = settings_file.load(workspace.params)
    origin = Plugin("shades", SimpleNamespace(fetch=fetch), None)
    choices = replace(Choices.of(settings), source_origin=origin, target_origin=origin)
    ingest.ingest(workspace, settings, choices)
    rules.write(workspace.rejected, [])
    return workspace, settings, choices


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, settings, choices = ingested(tmp_path_factory.mktemp("extract"))
    extract.extract(workspace, settings, choices)
    return workspace


def packed(workspace: Workspace, role: str) -> dict[str, Split]:
    return {folder.name: arrays.read(folder) for folder in sorted((workspace.features / role).iterdir())}


def test_class_names_are_sorted_for_both_domains(done: Workspace) -> None:
    assert files.read_json(done.classes) == {"source": sorted(LABELS), "target": sorted(LABELS)}


@pytest.mark.parametrize("role", ["source", "target"])
def test_every_row_is_packed_once_in_the_manifests_order_with_its_label(done: Workspace, role: str) -> None:
    names = files.read_json(done.classes)[role]
    splits = packed(done, role)
    assert sum(map(len, splits.values())) == len(LABELS) * PER_CLASS
    for name, split in splits.items():
        rows = manifest.read(done.manifest, domain=role, split=name)
        assert split.images.shape == (len(rows), 32, 32, 3) and split.images.dtype == np.uint8
        assert [names[label] for label in split.labels] == [row.label for row in rows]
        offset = 100 if role == "target" else 0
        expected = [PER_CLASS * LABELS.index(row.label) + int(Path(row.path).stem) + offset for row in rows]
        assert split.images[:, 5, 7, 1].tolist() == expected


def test_only_a_domain_with_groups_has_a_second_test_set(done: Workspace) -> None:
    assert sorted(packed(done, "source")) == ["test", "train", "validation"]
    assert len(packed(done, "target")["unseen"]) == len(LABELS)


def test_the_projection_has_a_row_for_each_training_picture(done: Workspace) -> None:
    lines = done.projection.read_text().splitlines()
    n_train = sum(len(packed(done, role)["train"]) for role in ("source", "target"))
    assert lines[0] == "domain,label,x,y" and len(lines) == 1 + n_train
    with np.load(done.features / "pca.npz") as pca:
        assert pca["components"].shape == (4, 32 * 32 * 3)
        # the pictures differ by one number alone
        assert pca["explained_variance_ratio"][0] == pytest.approx(1.0, abs=1e-3)


def test_the_same_manifest_gives_the_same_arrays(done: Workspace, tmp_path: Path) -> None:
    workspace, settings, choices = ingested(tmp_path)
    extract.extract(workspace, settings, choices)
    for role in ("source", "target"):
        for name, split in packed(workspace, role).items():
            np.testing.assert_array_equal(split.images, packed(done, role)[name].images)
    assert workspace.projection.read_bytes() == done.projection.read_bytes()


def test_a_picture_that_changed_in_the_shard_is_refused_and_nothing_half_made_stays(tmp_path: Path) -> None:
    workspace, settings, choices = ingested(tmp_path)
    place = manifest.read(workspace.manifest, domain="source")[0].place
    with (workspace.raw("source") / place.shard).open("r+b") as shard:
        shard.seek(place.offset)
        shard.write(b"\0" * place.bytes_)
    with pytest.raises(
        BadInput, match=r"source picture birch/0.png: content is no picture; .* graft run --from ingest"
    ):
        extract.extract(workspace, settings, choices)
    assert not workspace.features.exists()
    assert not list(tmp_path.glob(".features*"))


def test_a_missing_split_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="graft run --from extract"):
        arrays.read(tmp_path / "train")


def test_large_pictures_are_averaged_to_about_thirty_two_pixels() -> None:
    images = np.zeros((2, 70, 70, 3), np.uint8)
    images[1] = 255
    coarse = extract._coarse(images)
    assert coarse.shape == (2, 35 * 35 * 3)
    assert coarse[0].max() == 0 and coarse[1].min() == 1


def test_what_the_gate_rejected_is_left_out(tmp_path: Path) -> None:
    workspace, settings, choices = ingested(tmp_path)
    row = next(one for one in manifest.read(workspace.manifest, domain="source") if one.split == "train")
    rules.write(
        workspace.rejected, [Breach("dark", "reject", "source", 0, row.path, row.label, row.split, "is dark", "", 1.0)]
    )
    extract.extract(workspace, settings, choices)
    n_rows = len(manifest.read(workspace.manifest, domain="source", split="train"))
    assert len(packed(workspace, "source")["train"]) == n_rows - 1
    n_target = len(manifest.read(workspace.manifest, domain="target", split="train"))
    assert len(packed(workspace, "target")["train"]) == n_target  # a path is of one domain
    workspace.rejected.unlink()
    with pytest.raises(BadInput, match="rejected.parquet is missing; the data gate makes it: graft run"):
        extract.extract(workspace, settings, choices)
