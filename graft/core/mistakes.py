"""What several trainings of one net got wrong alike: classes mixed up, the hardest pictures, labels that look wrong.

Everywhere `labels` are (rows,) int64 in [0, classes) and `probabilities` (seeds, rows, classes) float32 of nets that
have not learned from the rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Answers = NDArray[np.float32]


class Pair(NamedTuple):
    """Rows of class `label` that were called `called`.

    Attributes:
        times: how often, over all seeds.
        share: of all answers to rows of the class.
        rows: those rows, the ones that most seeds called so first.
    """

    label: int
    called: int
    times: int
    share: float
    rows: list[int]


class Hard(NamedTuple):
    """A row that seeds got wrong.

    Attributes:
        wrong: how many of them.
        called: the likeliest other class.
        probability: of the row's own class, the mean over seeds.
    """

    row: int
    label: int
    called: int
    wrong: int
    probability: float


class Suspect(NamedTuple):
    """A row whose label looks wrong.

    Attributes:
        called: what every seed calls it.
        odds: p / (p + q) in [0, 1], with p the mean probability of `called` and q that of the label.
    """

    row: int
    label: int
    called: int
    odds: float


def pairs(labels: Labels, probabilities: Answers, most: int) -> list[Pair]:
    """The commonest mix-ups, the commonest first, hits left out."""
    called, mean = probabilities.argmax(axis=2), probabilities.mean(axis=0)
    n_seeds, _, n_classes = probabilities.shape
    counts = np.zeros((n_classes, n_classes), np.int64)
    for one in called:
        np.add.at(counts, (labels, one), 1)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    found = []
    for flat in np.argsort(-counts, axis=None, kind="stable")[:most]:
        label, other = divmod(int(flat), n_classes)
        if not counts[label, other]:
            break
        seeds = (called == other).sum(axis=0)
        rows = np.flatnonzero((labels == label) & (seeds > 0))
        rows = rows[np.lexsort((-mean[rows, other], -seeds[rows]))]
        times = int(counts[label, other])
        found.append(Pair(label, other, times, float(times / totals[label]), [int(row) for row in rows]))
    return found


def hardest(labels: Labels, probabilities: Answers, most: int) -> list[Hard]:
    """The rows that most seeds got wrong; of those, the ones whose own class was least likely first."""
    wrong = (probabilities.argmax(axis=2) != labels).sum(axis=0)
    mean, others, own = _apart(labels, probabilities)
    order = np.lexsort((own, -wrong))[:most]
    return [
        Hard(int(row), int(labels[row]), int(others[row].argmax()), int(wrong[row]), float(mean[row, labels[row]]))
        for row in order
        if wrong[row]
    ]


def suspects(labels: Labels, probabilities: Answers, surest: float) -> list[Suspect]:
    """Rows whose label all seeds agree is another one, that confident learning doubts too; the surest first.

    Confident learning (Northcutt, Jiang & Chuang 2021) asks more of a class that the nets are sure of.

    Args:
        surest: odds that the other label is right (see `Suspect`), from which on a row is named.
    """
    from cleanlab.experimental.label_issues_batched import LabelInspector

    called = probabilities.argmax(axis=2)
    mean, others, own = _apart(labels, probabilities)
    likeliest = others.argmax(axis=1)
    odds = others.max(axis=1) / np.maximum(others.max(axis=1) + own, 1e-12)
    agreed = np.all(called == likeliest, axis=0)
    if not np.any(agreed & (odds >= surest)):
        return []
    inspector = LabelInspector(num_class=mean.shape[1], verbose=False)
    inspector.update_confident_thresholds(labels, mean)
    inspector.score_label_quality(labels, mean)
    doubted = np.zeros(len(labels), bool)
    doubted[inspector.get_label_issues()] = True
    rows = np.flatnonzero(doubted & agreed & (odds >= surest))
    return [
        Suspect(int(row), int(labels[row]), int(likeliest[row]), float(odds[row]))
        for row in rows[np.argsort(-odds[rows], kind="stable")]
    ]


def _apart(labels: Labels, probabilities: Answers) -> tuple[Answers, Answers, Answers]:
    """Mean probabilities over seeds; the same with the own class's at -1; and the own class's alone."""
    mean: Answers = probabilities.mean(axis=0)
    rows, others = np.arange(len(labels)), mean.copy()
    others[rows, labels] = -1.0
    return mean, others, mean[rows, labels]
