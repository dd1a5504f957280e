"""Labels that look wrong and pictures that look like nothing else, told from features and given labels alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_FOLDS = 5
RIDGE = 0.01
"""Penalty per row, for features of unit variance."""
BATCH = 5_000

Chunks = Callable[[], Iterator[NDArray[np.float32]]]
"""Yields the feature rows in order, chunk by chunk, as often as it is called: memory holds one chunk."""


@dataclass(frozen=True)
class Labels:
    """What out-of-fold predictions say of every row's label.

    Attributes:
        quality: (n,) float32 in [0, 1]; the lowest are the most suspicious.
        predicted: (n,) int64, the best class by a model that has not seen the row.
        probability: (n,) float32, of that class.
        suspect: (n,) bool, by confident learning.
    """

    quality: NDArray[np.float32]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float32]
    suspect: NDArray[np.bool_]


def labels(chunks: Chunks, given: NDArray[np.int64], n_classes: int, seed: int) -> Labels:
    """Ask of every row whether a model trained without it agrees with its label.

    Ridge regression to the classes, out of fold by the folds' Gram matrices, so that two passes over the rows are
    enough; its scores become probabilities by one temperature; cleanlab's confident learning (Northcutt, Jiang &
    Chuang 2021) decides which disagreements are suspects; the odds of the label against the best other class rank them.

    Args:
        given: (n,) int64 labels in [0, n_classes), n_classes >= 2.
    """
    from cleanlab.experimental.label_issues_batched import LabelInspector

    fold = np.random.default_rng(seed).permutation(len(given)) % N_FOLDS
    scores = _out_of_fold(chunks, given, n_classes, fold)
    scores *= _temperature(scores, given)
    inspector = LabelInspector(num_class=n_classes, verbose=False)
    batches = [slice(start, start + BATCH) for start in range(0, len(given), BATCH)]
    for rows in batches:
        inspector.update_confident_thresholds(given[rows], _softmax(scores[rows]))
    predicted, probability = np.empty(len(given), np.int64), np.empty(len(given), np.float32)
    quality = np.empty(len(given), np.float32)
    for rows in batches:
        probabilities = _softmax(scores[rows])
        inspector.score_label_quality(given[rows], probabilities)
        predicted[rows], probability[rows] = probabilities.argmax(axis=1), probabilities.max(axis=1)
        quality[rows] = _odds(scores[rows], given[rows])
    suspect = np.zeros(len(given), dtype=bool)
    suspect[inspector.get_label_issues()] = True
    return Labels(quality, predicted, probability, suspect & (predicted != given))


def outlyingness(chunks: Chunks) -> NDArray[np.float32]:
    """How far every row lies from the rest: (n,) float32, in robust standard deviations above the median.

    Hotelling's T-squared over whitened features (Jackson & Mudholkar 1979), on a logarithmic scale. Unlike a distance
    to the nearest neighbours it also tells a row that lies in the empty middle of all others' shell.
    """
    squares = np.concatenate([np.square(chunk).mean(axis=1) for chunk in chunks()])
    far = np.log(squares + 1e-6)
    middle = np.median(far)
    spread = 1.4826 * np.median(np.abs(far - middle)) + 1e-6
    scaled: NDArray[np.float32] = ((far - middle) / spread).astype(np.float32)
    return scaled


def _out_of_fold(
    chunks: Chunks, given: NDArray[np.int64], n_classes: int, fold: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(n, n_classes) scores of models that have not seen the row."""
    grams: list[Any] = []
    moments: list[Any] = []
    start = 0
    for chunk in chunks():
        rows, start = slice(start, start + len(chunk)), start + len(chunk)
        wanted = np.full((len(chunk), n_classes), -1.0 / n_classes, np.float32)
        wanted[np.arange(len(chunk)), given[rows]] += 1.0
        with_bias = _with_bias(chunk)
        for k in range(N_FOLDS):
            mine = with_bias[fold[rows] == k]
            gram, moment = mine.T @ mine, mine.T @ wanted[fold[rows] == k]
            if len(grams) <= k:
                grams.append(gram)
                moments.append(moment)
            else:
                grams[k] += gram
                moments[k] += moment
    penalty = RIDGE * len(given) * np.eye(len(grams[0]), dtype=np.float32)
    weights = [np.linalg.solve(sum(grams) - grams[k] + penalty, sum(moments) - moments[k]) for k in range(N_FOLDS)]
    scores, start = np.empty((len(given), n_classes), np.float32), 0
    for chunk in chunks():
        rows, start = slice(start, start + len(chunk)), start + len(chunk)
        with_bias, mine = _with_bias(chunk), scores[rows]
        for k in range(N_FOLDS):
            mine[fold[rows] == k] = with_bias[fold[rows] == k] @ weights[k]
    return scores


def _with_bias(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([chunk, np.ones((len(chunk), 1), np.float32)], axis=1)


def _temperature(scores: NDArray[np.float32], given: NDArray[np.int64]) -> float:
    """The factor under which the given labels are most likely (Guo et al. 2017)."""
    some = slice(None, None, max(1, len(given) // BATCH))
    rows, wanted = scores[some], given[some]

    def loss(factor: float) -> float:
        picked = _softmax(rows * factor)[np.arange(len(wanted)), wanted]
        return float(-np.log(np.maximum(picked, 1e-12)).mean())

    return float(min(np.geomspace(0.5, 64.0, 29), key=loss))


def _odds(scores: NDArray[np.float32], given: NDArray[np.int64]) -> NDArray[np.float32]:
    """p / (p + q) with p the label's probability and q that of the best other class."""
    own = scores[np.arange(len(given)), given]
    others = scores.copy()
    others[np.arange(len(given)), given] = -np.inf
    share: NDArray[np.float32] = 1.0 / (1.0 + np.exp(np.clip(others.max(axis=1) - own, -60.0, 60.0)))
    return share


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = raised / raised.sum(axis=1, keepdims=True)
    return shares
