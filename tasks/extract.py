"""extract: every picture decoded once into packed arrays, and both domains drawn in the source's components."""

from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby, tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graft.core.dataset import SPLITS, Split
from graft.core.errors import BadInput, one_line
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import ahead, stage
from tasks.adapters import arrays, console, files, manifest, shards
from tasks.adapters.manifest import Row
from tasks.ahead import Ahead
from tasks.choices import Choices
from tasks.gate import rules
from tasks.workspace import ROLES, Workspace

PCA_EDGE_PX = 32
PCA_ROWS = 4000
PROGRESS_ROWS = 1000
READ_ROWS = 16
"""Pictures that were decoded ahead and are in memory at once."""

Picture = tuple[Row, NDArray[np.uint8]]


def extract(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write features/<role>/<split>/, the class names, the source's PCA and the projection of both domains.

    Pictures that the data gate rejected are left out. Memory holds a picture at a time, and some 100 bytes of each.

    Raises:
        BadInput: a picture does not decode (validate would have named it).
    """
    left_out = {(one.domain, one.path) for one in rules.read(workspace.rejected)}
    packs = {role: _Pack.of(workspace.manifest, role, left_out) for role in ROLES}
    classes = {role: pack.classes for role, pack in packs.items()}
    total, done = sum(len(pack.splits) for pack in packs.values()), 0
    with files.folder_aside(workspace.features) as folder, console.progress("extract") as progress:
        for role, pack in packs.items():
            for _ in _write(folder / role, workspace, pack, choices):
                done += 1
                if done % PROGRESS_ROWS == 0 or done == total:
                    progress(done, total)
        files.write_json(folder / "classes.json", classes)
        _project(folder, workspace.projection, classes, settings)
    ahead.remove(workspace, "extract")


@dataclass(frozen=True)
class _Pack:
    """What is known of one domain's rows before they are decoded, row by row of those that are not left out.

    Attributes:
        classes: names in label order.
        labels: (n,) int64.
        splits: (n,) places in SPLITS.
        ties: (n,) texts as UTF-8: rows with the same one are of one unit.
    """

    role: str
    classes: list[str]
    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    ties: NDArray[np.bytes_]
    left_out: Collection[tuple[str, str]]

    @classmethod
    def of(cls, path: Path, role: str, left_out: Collection[tuple[str, str]]) -> "_Pack":
        """Read from the manifest at `path`, some rows at a time."""
        names: dict[str, int] = {}
        labels, splits = array("q"), array("b")
        ties: list[NDArray[np.bytes_]] = []
        for piece in manifest.pieces(path, ["domain", "path", "label", "split", "unit", "sha256"]):
            mine = [row for row in piece.to_pylist() if row["domain"] == role and (role, row["path"]) not in left_out]
            labels.extend(names.setdefault(row["label"], len(names)) for row in mine)
            splits.extend(SPLITS.index(row["split"]) for row in mine)
            ties.append(np.array([(row["unit"] or row["sha256"]).encode() for row in mine], np.bytes_))
        classes = sorted(names)
        place = {name: index for index, name in enumerate(classes)}
        order = np.array([place[name] for name in names], np.int64)
        return cls(
            role, classes, order[np.array(labels, np.int64)], np.array(splits, np.int8), np.concatenate(ties), left_out
        )

    def rows(self, path: Path) -> Iterator[Row]:
        """Those rows, from the manifest."""
        return (row for row in manifest.stream(path, self.role) if (self.role, row.path) not in self.left_out)


def _write(folder: Path, workspace: Workspace, pack: _Pack, choices: Choices) -> Iterator[None]:
    """Every row of a domain to the file of its split, in the manifest's order; a sign of life after each."""
    module, options = choices.modality.module, choices.modality.options
    with ExitStack() as stack:
        writers = {}
        for place in np.unique(pack.splits).tolist():  # an origin without groups has no second test set
            mine = pack.splits == place
            units = np.unique(pack.ties[mine], return_inverse=True)[1]
            made = arrays.Writer(folder / SPLITS[place], module.spec(options).shape, pack.labels[mine], units)
            writers[SPLITS[place]] = stack.enter_context(made)
        known = Ahead.of(workspace, "extract", choices.modality)
        for row, picture in _pictures(workspace.raw(pack.role), pack.rows(workspace.manifest), known):
            writers[row.split].add(picture)
            yield


def _pictures(folder: Path, rows: Iterable[Row], known: Ahead) -> Iterator[Picture]:
    """Rows with their decoded pictures: as they are known, or decoded now."""
    for shard, mine in groupby(rows, key=lambda row: row.shard):
        file = known.file(folder / shard)
        pictures = partial(_looked_up, file) if file else _decoded
        yield from pictures(folder, mine, known.modality)


def _looked_up(file: Path, folder: Path, rows: Iterable[Row], modality: Plugin) -> Iterator[Picture]:
    """Rows of a shard, in its order, with their pictures in the file; those that it lacks are decoded now."""
    found, shape = ahead.rows(file, READ_ROWS), modality.module.spec(modality.options).shape
    one = next(found, None)
    for row in rows:
        while one and one["offset"] < row.offset:
            one = next(found, None)
        if one and (one["offset"], one["bytes"]) == (row.offset, row.bytes):
            yield row, np.frombuffer(one["picture"], np.uint8).reshape(shape)
        else:
            yield from _decoded(folder, [row], modality)


def _decoded(folder: Path, rows: Iterable[Row], modality: Plugin) -> Iterator[Picture]:
    first, second = tee(rows)
    for row, data in zip(first, shards.read(folder, (row.place for row in second)), strict=True):
        try:
            yield row, modality.module.decode(data, modality.options)
        except BadInput as error:
            raise BadInput(
                f"{row.domain} picture {one_line(row.path, 160)}: {error}; graft run --from ingest"
            ) from None


def _project(folder: Path, csv: Path, classes: dict[str, list[str]], settings: Settings) -> None:
    """PCA of the source's training pictures; the first two components of a sample of both domains as CSV."""
    from sklearn.decomposition import PCA

    source = _sample(arrays.read(folder / "source" / "train"), PCA_ROWS, settings.seed)
    count = min(settings.extract.components, len(source), 3 * PCA_EDGE_PX**2)
    pca = PCA(count, svd_solver="randomized", random_state=settings.seed).fit(_coarse(source.images))
    np.savez(
        folder / "pca.npz",
        mean=pca.mean_.astype(np.float32),
        components=pca.components_.astype(np.float32),
        explained_variance_ratio=pca.explained_variance_ratio_.astype(np.float32),
    )
    points = []
    for role in ROLES:
        split = _sample(arrays.read(folder / role / "train"), settings.extract.projected_per_domain, settings.seed)
        xy = pca.transform(_coarse(split.images))[:, :2]
        points += [
            {"domain": role, "label": classes[role][label], "x": round(float(x), 3), "y": round(float(y), 3)}
            for (x, y), label in zip(xy, split.labels, strict=True)
        ]
    files.write_csv(csv, points)


def _sample(split: Split, most: int, seed: int) -> Split:
    if len(split) <= most:
        return split
    return split.take(np.sort(np.random.default_rng(seed).choice(len(split), most, replace=False)))


def _coarse(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, size, size, 3) uint8 to (n, features) float32 in [0, 1], averaged down to about 32x32 pixels."""
    n, size = images.shape[:2]
    factor = max(1, size // PCA_EDGE_PX)
    edge = size // factor
    cropped = np.asarray(images[:, : edge * factor, : edge * factor], dtype=np.float32) / 255.0
    blocks = cropped.reshape(n, edge, factor, edge, factor, -1)
    averaged: NDArray[np.float32] = blocks.mean(axis=(2, 4)).reshape(n, -1)
    return averaged


if __name__ == "__main__":
    stage.main("extract", extract)
