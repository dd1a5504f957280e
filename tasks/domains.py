"""Domains to compare: each fetched, gated and packed by the stages themselves, once, whatever it is compared with."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graft.core import settings as settings_file
from graft.core.dataset import SPLITS, Progress, Split
from graft.core.errors import BadInput
from graft.core.plugins import resolve
from graft.core.sections import Choice, Settings
from tasks import ingest
from tasks.adapters import alone, arrays, files
from tasks.choices import Choices
from tasks.workspace import HELD_OUT, ROLES, Workspace

STAGES = ("ingest", "validate", "extract")
STAND_IN = {"name": "shapes", "images_per_class": 20}
"""What takes the other domain's place while one is made: a hundred pictures, drawn in a second."""


@dataclass(frozen=True)
class Domain:
    """A packed domain.

    Attributes:
        name: as compare.yaml has it.
        folder: of packed splits.
        classes: in label order.
        sha256: of the arrays, by split; names this content wherever it was made.
    """

    name: str
    folder: Path
    classes: tuple[str, ...]
    sha256: Mapping[str, str]

    def split(self, name: str) -> Split:
        """Rows of a split, memory-mapped."""
        return arrays.read(self.folder / name)

    def hash(self, *splits: str) -> str:
        """One name for the content of several splits and the classes' order."""
        said = [list(self.classes), {name: self.sha256.get(name, "") for name in splits}]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def prepare(
    workspace: Workspace, settings: Settings, name: str, origin: Choice, role: str, progress: Progress
) -> Domain:
    """The domain, made now unless that was done before.

    Raises:
        BadInput, StageFailed: the origin or the data gate refused it.
        EnvironmentProblem: a registry or store is unavailable.
    """
    folder = place_of(workspace, settings, name, origin, role)
    if not (folder / "domain.json").exists():
        scratch = workspace.compared / "preparing"
        shutil.rmtree(scratch, ignore_errors=True)
        place = _workspace(scratch, workspace, name, origin, role)
        for index, stage in enumerate(STAGES):
            alone.run(place.root, stage, _third(progress, index))
        with files.folder_aside(folder) as aside:
            for split in SPLITS:
                made = (place.held_out if split in HELD_OUT else place.packed)(role, split)
                if made.exists():
                    shutil.move(made, aside / split)
            _describe(aside, name, files.read_json(place.classes)[role])
        shutil.rmtree(scratch)
    return open_domain(folder)


def place_of(workspace: Workspace, settings: Settings, name: str, origin: Choice, role: str) -> Path:
    """The folder of the domain, made or not. Raises what a look at the origin raises."""
    return workspace.compared / "domains" / f"{role}-{name}-{_key(settings, name, origin, role)}"


def mix(workspace: Workspace, name: str, parts: Mapping[str, tuple[Domain, float]], seed: int) -> Domain:
    """A source of several: of each its share of the pictures, as many as the scarcest allows; classes side by side.

    Args:
        parts: by name a domain and its weight.
    """
    said = [name, seed, {part: (one.hash("train", "validation"), weight) for part, (one, weight) in parts.items()}]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
    folder = workspace.compared / "domains" / f"source-{name}-{key}"
    if not (folder / "domain.json").exists():
        with files.folder_aside(folder) as aside:
            for split in ("train", "validation"):
                _write(aside / split, _mixed([(one.split(split), weight) for one, weight in parts.values()], seed))
            _describe(aside, name, [f"{part}/{label}" for part, (one, _) in parts.items() for label in one.classes])
    return open_domain(folder)


def without(workspace: Workspace, source: Domain, target: Domain) -> Domain:
    """The source without pictures that the target has, too, to the pixel; itself where there are none.

    A net that has seen the test pictures, under whatever label, would prove nothing.

    Raises:
        BadInput: a class of the source would be left without pictures.
    """
    known = {digest for split in SPLITS if split in target.sha256 for digest in digests(target.split(split))}
    keep = {
        split: np.flatnonzero([digest not in known for digest in digests(source.split(split))])
        for split in ("train", "validation")
    }
    if all(len(rows) == len(source.split(split)) for split, rows in keep.items()):
        return source
    for split, rows in keep.items():
        if len(np.unique(source.split(split).labels[rows])) < len(source.classes):
            raise BadInput(
                f"source {source.name} shares pictures with target {target.name}, and without them a class has none "
                f"left for {split}; leave one of the two out of compare.yaml"
            )
    folder = workspace.compared / "domains" / f"{source.folder.name}-without-{target.folder.name}"
    if not (folder / "domain.json").exists():
        with files.folder_aside(folder) as aside:
            for split, rows in keep.items():
                _write(aside / split, source.split(split).take(rows.astype(np.int64)))
            _describe(aside, source.name, list(source.classes))
    return open_domain(folder)


def open_domain(folder: Path) -> Domain:
    """A domain that stands in `folder`."""
    told = files.read_json(folder / "domain.json")
    return Domain(told["name"], folder, tuple(told["classes"]), told["sha256"])


def shown(root: Path, source: Domain, target: Domain, nets: Path) -> Workspace:
    """A workspace at `root` in which stages find both domains and pretrained nets: links, nothing is copied."""
    view = Workspace(root)
    if not view.classes.exists():
        for place, real in (
            (view.features / "source", source.folder),
            (view.features / "target", target.folder),
            (view.pretrained, nets),
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(os.path.relpath(real, place.parent))  # a workspace may be moved
        files.write_json(view.classes, {"source": list(source.classes), "target": list(target.classes)})
    return view


def digests(split: Split) -> list[bytes]:
    """What names each picture's pixels."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in split.images]


def _key(settings: Settings, name: str, origin: Choice, role: str) -> str:
    data, seen = settings.data, ingest.fingerprint(resolve("tasks.origins", origin, f"{role} {name}: origin"))
    said = [
        name,
        origin.model_dump(),
        role,
        settings.seed,
        data.modality.model_dump(),
        data.split.model_dump(),
        settings.validate_.model_dump(),
        seen,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def _workspace(root: Path, like: Workspace, name: str, origin: Choice, role: str) -> Workspace:
    """One with the settings of `like`, in which one domain is this one and the other a stand-in."""
    root.mkdir(parents=True)
    for file in (like.params, like.root / "dvc.yaml"):
        shutil.copy(file, root / file.name)
    place = Workspace(root)
    other = next(one for one in ROLES if one != role)
    given = [
        (f"data.{role}", {"name": name, "origin": origin.model_dump()}),
        (f"data.{other}", {"name": "stand-in", "origin": STAND_IN}),
        ("finetune.labels_per_class", 1),
    ]
    settings_file.set_values(place.params, [f"{key}={json.dumps(value)}" for key, value in given], Choices.of)
    return place


def _third(progress: Progress, index: int) -> Progress:
    return lambda done, total: progress(100 * index + min(100, 100 * done // max(1, total)), 100 * len(STAGES))


def _mixed(parts: list[tuple[Split, float]], seed: int) -> Split:
    weights = np.array([weight for _, weight in parts]) / sum(weight for _, weight in parts)
    whole = min(len(split) / weight for (split, _), weight in zip(parts, weights, strict=True))
    generator, first = np.random.default_rng(seed), 0
    taken: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
    for (split, _), weight in zip(parts, weights, strict=True):
        rows = _evenly(split.labels, round(whole * weight), generator)
        taken.append((np.asarray(split.images[rows]), split.labels[rows] + first))
        first += int(split.labels.max()) + 1
    return Split(np.concatenate([images for images, _ in taken]), np.concatenate([labels for _, labels in taken]))


def _evenly(labels: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """`count` rows, class by class by turns, and at least one of each."""
    order = generator.permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        turn[mine] = np.arange(len(mine))
    first = np.argsort(turn[order], kind="stable")[: max(count, len(np.unique(labels)))]
    return np.sort(order[first])


def _write(folder: Path, split: Split) -> None:
    images, labels, units = arrays.create(folder, len(split), split.images.shape[1:])
    images[:], labels[:] = split.images, split.labels
    units[:] = np.arange(len(split)) if split.units is None else split.units
    for one in (images, labels, units):
        one.flush()


def _describe(folder: Path, name: str, classes: list[str]) -> None:
    """Write domain.json: what it is called and what names its content."""
    made = [split for split in SPLITS if (folder / split).exists()]
    hashes = {split: _hash_of(folder / split) for split in made}
    files.write_json(folder / "domain.json", {"name": name, "classes": classes, "sha256": hashes})


def _hash_of(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            found.update(f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return found.hexdigest()
