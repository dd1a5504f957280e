"""extract: every picture decoded once into packed arrays, and both domains drawn in the source's components."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graft.core.dataset import SPLITS, Split
from graft.core.errors import BadInput, one_line
from graft.core.sections import Settings
from tasks import stage
from tasks.adapters import arrays, console, files, manifest, shards
from tasks.adapters.manifest import Row
from tasks.choices import Choices
from tasks.gate import rules
from tasks.workspace import ROLES, Workspace

PCA_EDGE_PX = 32
PCA_ROWS = 4000


def extract(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write features/<role>/<split>/, the class names, the source's PCA and the projection of both domains.

    Pictures that the data gate rejected are left out.

    Raises:
        BadInput: a picture does not decode (validate would have named it).
    """
    left_out = {(one.domain, one.path) for one in rules.read(workspace.rejected)}
    rows = {
        role: [row for row in manifest.read(workspace.manifest, domain=role) if (role, row.path) not in left_out]
        for role in ROLES
    }
    classes = {role: sorted({row.label for row in rows[role]}) for role in ROLES}
    total = sum(map(len, rows.values()))
    with files.folder_aside(workspace.features) as folder, console.progress("extract") as progress:
        done = 0
        for role in ROLES:
            for split in SPLITS:
                members = [row for row in rows[role] if row.split == split]
                _pack(folder / role / split, workspace.raw(role), members, classes[role], choices)
                done += len(members)
                progress(done, total)
        files.write_json(folder / "classes.json", classes)
        _project(folder, workspace.projection, classes, settings)


def _pack(folder: Path, raw: Path, rows: list[Row], classes: list[str], choices: Choices) -> None:
    module, options = choices.modality.module, choices.modality.options
    if not rows:  # an origin without groups has no second test set
        return
    images, labels, units = arrays.create(folder, len(rows), module.spec(options).shape)
    index_of = {label: index for index, label in enumerate(classes)}
    units[:] = np.unique([row.unit or row.sha256 for row in rows], return_inverse=True)[1]
    units.flush()
    for index, data in enumerate(shards.read(raw, [row.place for row in rows])):
        try:
            images[index] = module.decode(data, options)
        except BadInput as error:
            row = rows[index]
            raise BadInput(
                f"{row.domain} picture {one_line(row.path, 160)}: {error}; graft run --from ingest"
            ) from None
        labels[index] = index_of[rows[index].label]
    images.flush()
    labels.flush()


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
