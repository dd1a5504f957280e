"""What the features alone say of the transfer, before and after learning the source: scores, distances, directions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, nets, plugins, reduction
from graft.core.dataset import Split, draw_per_class
from graft.core.errors import BadInput
from graft.core.sections import Settings
from tasks import layerwise
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.workspace import ROLES, Workspace

MOST_ROWS = 500
"""Of each domain's sample, and of the labelled rows: more cost time and hardly move a figure."""
FEWEST_PER_CLASS = 2
COMPONENTS = 8

Rows = NDArray[np.float32]


def write(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write reports/transferability.json: every score and distance, and how universal the features are.

    Each is taken of the network as `transfer` starts, which learned the source, and as `scratch` starts. Scores look
    at those labelled training rows of the target that the first seed's arms learn from, distances at a sample of both
    domains' training rows. No validation or test row is touched, but by `layers`, where `evaluate.layers` asks for it.
    """
    layers = layerwise.measure(workspace, settings, choices)
    told = look(workspace, settings, choices)
    files.write_json(workspace.transferability, told | ({"layers": layers} if layers else {}))


def look(workspace: Workspace, settings: Settings, choices: Choices) -> dict[str, Any]:
    """All but `layers` of what `write` writes."""
    seed = settings.evaluate.seeds[0]
    splits = {role: _sample(arrays.read(workspace.packed(role, "train")), seed) for role in ROLES}
    splits["labelled"] = _labelled(workspace, settings, seed)
    report = {
        "backbone": choices.backbone.name,
        "labels_per_class": settings.finetune.labels_per_class,
        "seed": seed,
        "rows": {name: len(split) for name, split in splits.items()},
    }
    return report | {arm: _measure(net, splits) for arm, net in _networks(workspace, choices, seed).items()}


def _networks(workspace: Workspace, choices: Choices, seed: int) -> dict[str, Any]:
    backbone = choices.backbone
    learned = models.load(workspace.pretrained / f"{backbone.name}.keras").get_layer("backbone")
    spec = choices.modality.module.spec(choices.modality.options)
    return {"transfer": learned, "scratch": nets.from_nothing(backbone, spec, 1000 + seed)}


def _sample(split: Split, seed: int) -> Split:
    return split.take(np.sort(np.random.default_rng(seed).permutation(len(split))[:MOST_ROWS]))


def _labelled(workspace: Workspace, settings: Settings, seed: int) -> Split:
    """The rows that the first seed's arms learn from; of very many, equally many of each class."""
    train = arrays.read(workspace.packed("target", "train"))
    rows = draw_per_class(train.labels, settings.finetune.per_class, seed)
    if len(rows) > MOST_ROWS:
        generator, labels = np.random.default_rng(seed), train.labels[rows]
        most = max(FEWEST_PER_CLASS, MOST_ROWS // len(np.unique(labels)))
        rows = np.concatenate([generator.permutation(rows[labels == label])[:most] for label in np.unique(labels)])
    return train.take(np.sort(rows))


@dataclass(frozen=True)
class Attempts:
    """Measures what can be measured.

    Attributes:
        notes: why what is None could not be.
    """

    notes: list[str] = field(default_factory=list)

    def __call__(self, measure: Callable[..., Any], *given: Any) -> Any:
        """What `measure` says of `given`; None if it refuses."""
        try:
            return measure(*given)
        except BadInput as error:
            self.notes.extend({str(error)} - set(self.notes))
            return None


def _measure(net: Any, splits: dict[str, Split]) -> dict[str, Any]:
    """All that the features of one network say."""
    from threadpoolctl import threadpool_limits

    rows = {name: fit.predict(net, split.images) for name, split in splits.items()}
    labels, attempt = splits["labelled"].labels, Attempts()
    spread = np.sqrt(rows["source"].var(axis=0, dtype=np.float64).sum()) or 1.0
    alike = [(rows[role] / spread).astype(np.float32) for role in ROLES]  # networks' features differ in size
    with threadpool_limits(1):  # small matrices: threads would wait for each other longer than they work
        return {
            "features": rows["source"].shape[1],
            "scores": {name: attempt(one.score, rows["labelled"], labels) for name, one in _all("graft.scores")},
            "distances": {name: attempt(one.distance, *alike) for name, one in _all("graft.distances")},
            "directions": _directions(attempt, rows, splits),
            "notes": attempt.notes,
        }


def _all(package: str) -> list[tuple[str, Any]]:
    return [(name, plugins.module(package, name)) for name in plugins.names(package)]


def _directions(attempt: Attempts, rows: dict[str, Rows], splits: dict[str, Split]) -> dict[str, Any]:
    """The source's directions: in both domains, the shares of variance along them and how far apart classes lie."""
    fitted = {
        "pca": attempt(reduction.pca, rows["source"], COMPONENTS),
        "lda": attempt(reduction.lda, rows["source"], splits["source"].labels, COMPONENTS),
    }
    return {
        name: {
            role: attempt(_along, found, rows[part], splits[part].labels)
            for role, part in (("source", "source"), ("target", "labelled"))
        }
        for name, found in fitted.items()
        if found
    }


def _along(found: reduction.Reduction, rows: Rows, labels: NDArray[np.int64]) -> dict[str, list[float]]:
    shares, criteria = found.explained_variance(rows), reduction.separability(found.transform(rows), labels)
    return {
        "explained_variance": [float(share) for share in shares],
        "separability": [float(criterion) for criterion in criteria],
    }
