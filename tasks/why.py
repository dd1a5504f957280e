"""Why and where: what evaluate leaves for people to look at, beside its figures."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, mistakes, planes, plugins, reduction, saliency
from graft.core.dataset import Split, draw_per_class
from graft.core.sections import Settings
from tasks import training
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.transferability import Attempts
from tasks.workspace import ROLES, Workspace

LOOKED = 12
"""Surest mistakes of the model that ships, and as many pictures drawn: half right, half wrong."""
PAIRS, SHOWN = 8, 6
NAMED = 18
"""Hardest pictures, and suspects."""
SUREST = 0.95
"""Odds that another label is right, from which on a test picture is a suspect."""
MOST_LIKE = 50
FITTED = {"source": 300, "target": 600}
DRAWN = {"source": 300, "target": 500}

Answers = NDArray[np.float32]


def write(workspace: Workspace, settings: Settings, choices: Choices, test: Split, probabilities: Answers) -> None:
    """Write reports/why/: why.json, maps.npz and features.csv, all of the transfer arm.

    Args:
        test: the target's test rows on seen groups. Nothing here is learned from them.
        probabilities: (seeds, rows, classes), what the arm says of them.
    """
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    model = models.load(workspace.classifier("transfer", seed))
    views = choices.modality.module.VIEWS[: settings.finetune.views]
    mine = probabilities[settings.evaluate.seeds.index(seed)]
    wrong = (probabilities.argmax(axis=2) != test.labels).sum(axis=0)
    doubted = mistakes.suspects(test.labels, probabilities, SUREST)
    with files.folder_aside(workspace.why) as folder:
        looked, asked = _looked(test.labels, mine, settings.seed)
        pictures = np.asarray(test.images[[row for row, _ in asked]]) if asked else test.images[:0]
        maps = saliency.maps(model, pictures, np.array([label for _, label in asked], np.int64), views)
        np.savez_compressed(folder / "maps.npz", maps=np.rint(255 * maps).astype(np.uint8))
        points, features = _features(workspace, settings, choices, model)
        files.write_csv(folder / "features.csv", points)
        files.write_json(
            folder / "why.json",
            {
                "seed": seed,
                "seeds": len(probabilities),
                "rows": len(test),
                "wrong_for_all": float(np.mean(wrong == len(probabilities))),
                "looked": looked,
                "pairs": _pairs(workspace, settings, model, seed, test, probabilities),
                "hardest": [one._asdict() for one in mistakes.hardest(test.labels, probabilities, NAMED)],
                "suspects": {
                    "count": len(doubted),
                    "odds": SUREST,
                    "first": [one._asdict() for one in doubted[:NAMED]],
                },
                "features": features,
            },
        )


def _looked(
    labels: NDArray[np.int64], probabilities: Answers, seed: int
) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Pictures to explain, each with the places of its maps: of the class it was called, then of its own.

    The second list says which (row, class) each map is of.
    """
    called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong, right = (np.flatnonzero(hit) for hit in (called != labels, called == labels))
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:LOOKED]
    generator = np.random.default_rng(seed)
    drawn = [
        row
        for rows in (right, np.setdiff1d(wrong, surest))
        for row in np.sort(generator.permutation(rows)[: LOOKED // 2])
    ]
    looked: list[dict[str, Any]] = []
    asked: list[tuple[int, int]] = []
    for how, rows in (("surest", surest), ("drawn", drawn)):
        for row in map(int, rows):
            classes = list(dict.fromkeys((int(called[row]), int(labels[row]))))
            looked.append(
                {"row": row, "label": int(labels[row]), "called": int(called[row]), "probability": float(sure[row])}
                | {"chosen": how, "maps": list(range(len(asked), len(asked) + len(classes)))}
            )
            asked += [(row, one) for one in classes]
    return looked, asked


def _pairs(
    workspace: Workspace, settings: Settings, model: Any, seed: int, test: Split, probabilities: Answers
) -> list[dict[str, Any]]:
    """The commonest mix-ups, with test rows that were mixed up and what of the other class lies nearest to them.

    The latter are training rows that the model learned from, compared by its own features.
    """
    found = mistakes.pairs(test.labels, probabilities, PAIRS)
    if not found:
        return []
    train, generator = arrays.read(workspace.packed("target", "train")), np.random.default_rng(settings.seed)
    learned = generator.permutation(draw_per_class(train.labels, settings.finetune.per_class, seed))
    like = {one.called: learned[train.labels[learned] == one.called][:MOST_LIKE] for one in found}
    theirs = _units(model, train, np.concatenate(list(like.values())))
    ours = _units(model, test, np.unique(np.concatenate([one.rows[:SHOWN] for one in found])))
    listed = []
    for one in found:
        shown = one.rows[:SHOWN]
        middle = np.mean([ours[row] for row in shown], axis=0)
        near = sorted(map(int, like[one.called]), key=lambda row: -float(theirs[row] @ middle))
        listed.append(one._asdict() | {"rows": shown, "like": near[:SHOWN]})
    return listed


def _units(model: Any, split: Split, rows: NDArray[np.int64]) -> dict[int, Answers]:
    """Features of `rows`, at length 1, by row."""
    features = fit.predict(model.get_layer("backbone"), np.asarray(split.images[rows]))
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return {int(row): one for row, one in zip(rows, features / lengths, strict=True)}


def _features(
    workspace: Workspace, settings: Settings, choices: Choices, model: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Both domains in two dimensions before and after fine-tuning, and how far apart classes and domains lie.

    Planes are fitted to training pictures; validation pictures are drawn and measured. `domains` are the directions
    of most variance of both domains, `classes` those that tell the target's classes apart.
    """
    learned = models.load(workspace.pretrained / f"{choices.backbone.name}.keras")
    nets = {"before": learned.get_layer("backbone"), "after": model.get_layer("backbone")}
    fitted, drawn = (
        {role: _some(arrays.read(workspace.packed(role, split)), most[role], settings.seed) for role in ROLES}
        for split, most in (("train", FITTED), ("validation", DRAWN))
    )
    rows = {
        when: {
            name: {role: fit.predict(net, split.images) for role, split in splits.items()}
            for name, splits in (("fitted", fitted), ("drawn", drawn))
        }
        for when, net in nets.items()
    }
    attempt, classes, points = Attempts(), files.read_json(workspace.classes), []
    fits = {
        "domains": (ROLES, functools.partial(reduction.pca, components=2)),
        "classes": (("target",), functools.partial(reduction.lda, labels=fitted["target"].labels, components=2)),
    }
    for plane, (roles, procedure) in fits.items():
        both = [np.concatenate([rows[when]["fitted"][role] for role in roles]) for when in nets]
        found = attempt(planes.alike, *both, procedure) or ()
        for when, one in zip(nets, found, strict=False):
            for role in roles:
                points += [
                    {"plane": plane, "when": when, "domain": role, "label": classes[role][label]}
                    | {"x": round(float(x), 3), "y": round(float(y), 3)}
                    for (x, y), label in zip(one.place(rows[when]["drawn"][role]), drawn[role].labels, strict=True)
                ]
    knn, mmd = plugins.module("graft.scores", "knn"), plugins.module("graft.distances", "mmd")
    shown = {when: rows[when]["drawn"] for when in nets}
    figures: dict[str, Any] = {
        "rows": {role: len(split) for role, split in drawn.items()},
        "knn": {when: attempt(knn.score, one["target"], drawn["target"].labels) for when, one in shown.items()},
        "mmd": {when: attempt(mmd.distance, one["source"], one["target"]) for when, one in shown.items()},
        "notes": attempt.notes,
    }
    return points, figures


def _some(split: Split, most: int, seed: int) -> Split:
    return split.take(np.sort(np.random.default_rng(seed).permutation(len(split))[:most]))
