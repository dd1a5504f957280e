"""What reuse would gain, foretold from features alone and from what was measured before; and how sure that is.

A forecast learns from the atlas: of each source, target and number of labels, what scores and distances said of the
features, and what reuse then gained. Points are worth more where there are few to be gained, so it learns them as a
share of the room there is: of what a linear probe on an untrained net gets wrong.

Gains by several methods are learned from together: each method has a level of its own, and scores mean the same for
all.

It is asked about targets that it has not seen, so that is how it is judged: every residual comes from a model that was
fitted without any cell of that target. Those residuals, added to what such models say of a new case, are the forecast's
distribution (CV+ of Barber et al. 2021, with signs, folds being targets). Cells of one target err together, so nothing
but such a judgement says whether an interval holds what it should; see `forecast_judge`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import atlas
from graft.core.atlas import Gain, Record
from graft.core.errors import BadInput

FEWEST_TARGETS, FEWEST = 4, 20
"""Below so many targets or cells a forecast learns nothing that it could be held to."""
COVERAGE = 0.9
MOST_FALSE_ALARMS = 0.2
PENALTIES = tuple(10.0**power for power in range(-1, 4))
"""Of the ridge regression on standardised features; the one that forecasts other targets best is kept."""

LEAST_ROOM = 0.05
NEAREST = 1e-2
"""Distances count by their logarithm, since some are a hundred times others; nearer than this is as near.

An estimate that comes out as zero has no logarithm, and a line through other distances, drawn on to a very small one,
foretells wonders. It holds for every distance: one whose values all lie below tells a forecast nothing.
"""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """A source and a target with so many labels and a method: what was known beforehand, and what came of it.

    Attributes:
        known: by name; None for what could not be measured.
        gain: points over the scratch net on seen groups; NaN where nobody has measured it.
        error: half of the width of its 95 % interval.
        seconds: of processor time for one training on the target.
        method: its name.
    """

    source: str
    target: str
    labels: int | str
    known: Mapping[str, float | None]
    gain: float
    error: float = 0.0
    seconds: float = 0.0
    method: str = "full"


def known(look: Record) -> dict[str, float | None]:
    """What is known before anything is fine-tuned, from a look of the atlas.

    Scores as their difference from the same net that has learned nothing, since that one is there for free. How well
    the net learned its own source comes first of all: features of shuffled labels lie close to any target, and what
    gives them away is that the net could not tell its own validation pictures apart. Numbers and distances as log10.
    """
    facts, features = look.facts, look.facts["features"]
    learned, fresh = features["transfer"], features["scratch"]
    chance = 1.0 / facts["classes"]["source"]
    rows, labels = facts["rows"]["target"], look.decides["labels_per_class"]
    per_class = rows / facts["classes"]["target"] if labels == "all" else float(labels)
    found: dict[str, float | None] = {
        "labels": float(np.log10(per_class)),
        "target_classes": float(np.log10(facts["classes"]["target"])),
        "source_rows": float(np.log10(facts["rows"]["source"])),
        "source_learned": (facts["source"]["validation_accuracy"] - chance) / (1.0 - chance),
        "fresh_linear_probe": fresh["scores"].get("linear_probe"),
    }
    for name, value in learned["scores"].items():
        before = fresh["scores"].get(name)
        found[name] = None if value is None or before is None else value - before
    for name, value in learned["distances"].items():
        found[name] = None if value is None else float(np.log10(max(value, NEAREST)))
    return found


def examples(gains: Iterable[Gain], looks: Iterable[Record]) -> list[Example]:
    """Every gain on seen groups whose features were looked at."""
    seen = {_same(one.decides): one for one in looks if one.kind == "look"}
    found = []
    for one in gains:
        look = seen.get(_same(one.decides))
        if look is None or "seen" not in one.gain:
            continue
        estimate = one.gain["seen"]
        error, said = float(estimate.high - estimate.low) / 2.0, known(look)
        found.append(Example(one.source, one.target, one.labels, said, estimate.mean, error, one.seconds, one.method))
    return found


def _same(decides: Mapping[str, Any]) -> str:
    names = ("source", "target", "modality", "backbone", "pretrain", "labels_per_class")
    return atlas.key("look", {name: decides[name] for name in names})


@dataclass(frozen=True)
class Told:
    """A forecast.

    Attributes:
        gain: points, the distribution's median.
        low, high: ends of the interval that holds the gain in COVERAGE of cases.
        harm: probability that reuse does worse than training from nothing.
        flagged: whether that is high enough for a warning.
    """

    gain: float
    low: float
    high: float
    harm: float
    flagged: bool


@dataclass(frozen=True)
class Forecaster:
    """What was learned from examples; `learn` makes it.

    Attributes:
        methods: of the examples; of another one nothing is known, and it counts as average.
        alarm: from which probability of harm on a source is flagged.
    """

    names: tuple[str, ...]
    methods: tuple[str, ...]
    models: Mapping[str, "Ridge"]
    residuals: Sequence[tuple[str, float]]
    alarm: float

    def tell(self, case: Example) -> Told:
        """The forecast for what is known of a source and a target; whatever gain the case has is not looked at."""
        drawn = np.sort(self.draws(case))
        outside = max(1, math.floor((1 - COVERAGE) / 2 * (len(drawn) + 1)))  # of n + 1, as CV+ counts
        low, high = drawn[outside - 1], drawn[-outside]
        harm = float((drawn < 0).mean())
        return Told(float(np.median(drawn)), float(low), float(high), harm, harm >= self.alarm)

    def draws(self, case: Example) -> Matrix:
        """(examples,) points: what a model without one target says, plus how it erred on an example of that target."""
        row = _rows([case], self.names, self.methods)
        said = {target: float(model(row)[0]) for target, model in self.models.items()}
        return room(case.known) * np.array([said[target] + residual for target, residual in self.residuals])


@dataclass(frozen=True)
class Ridge:
    """Linear regression with a penalty on standardised features; what is missing counts as average.

    Attributes:
        mean, spread: (features,), of the rows it was fitted to.
        weights: (features,), points of gain, over the room there is, for one standard deviation of each.
        level: the same where every feature is average.
    """

    mean: Matrix
    spread: Matrix
    weights: Matrix
    level: float

    def __call__(self, rows: Matrix) -> Matrix:
        """Points over room, (n,), for (n, features) rows."""
        scaled = np.nan_to_num((rows - self.mean) / self.spread)
        points: Matrix = scaled @ self.weights + self.level
        return points


def learn(given: Sequence[Example]) -> Forecaster:
    """Learn from measured examples.

    Raises:
        BadInput: there are too few of them, or of too few targets.
    """
    targets = sorted({one.target for one in given})
    if len(targets) < FEWEST_TARGETS or len(given) < FEWEST:
        raise BadInput(
            f"the atlas has {len(given)} measured gains on {len(targets)} targets; a forecast learns from {FEWEST} on "
            f"{FEWEST_TARGETS} targets at least: graft compare measures more"
        )
    names = tuple(sorted({name for one in given for name in one.known}))
    methods = tuple(sorted({one.method for one in given}))
    rows = _rows(given, names, methods)
    gains = np.array([one.gain / room(one.known) for one in given])
    of = np.array([one.target for one in given])
    penalty = _penalty(rows, gains, of)
    models = {target: _fitted(rows[of != target], gains[of != target], penalty) for target in targets}
    residuals = [
        (target, float(gain - models[target](row[None])[0])) for target, gain, row in zip(of, gains, rows, strict=True)
    ]
    return Forecaster(names, methods, models, residuals, _alarm(rows, gains, of, models, residuals))


def room(known: Mapping[str, float | None]) -> float:
    """Share of pictures that a linear probe on an untrained net gets wrong, LEAST_ROOM at least; 1 if nobody knows."""
    right = known.get("fresh_linear_probe")
    return 1.0 if right is None else max(LEAST_ROOM, 1.0 - right)


def _rows(cases: Sequence[Example], names: Sequence[str], methods: Sequence[str]) -> Matrix:
    """(cases, names and methods), NaN for what is not known; of methods 1 for the case's own, 0 for the others."""
    found = [
        [np.nan if (value := case.known.get(name)) is None else float(value) for name in names]
        + [float(case.method == method) if case.method in methods else np.nan for method in methods]
        for case in cases
    ]
    return np.array(found, dtype=np.float64).reshape(len(cases), len(names) + len(methods))


def _fitted(rows: Matrix, gains: Matrix, penalty: float) -> Ridge:
    mean = np.array([float(np.nanmean(column)) if np.any(np.isfinite(column)) else 0.0 for column in rows.T])
    filled = np.where(np.isfinite(rows), rows, mean)
    spread = filled.std(axis=0)
    spread = np.where(spread > 1e-9, spread, np.inf)  # what never varied says nothing of what it would mean
    scaled, level = (filled - mean) / spread, float(gains.mean())
    inner = scaled.T @ scaled + penalty * np.eye(scaled.shape[1])
    return Ridge(mean, spread, np.linalg.solve(inner, scaled.T @ (gains - level)), level)


def _penalty(rows: Matrix, gains: Matrix, of: NDArray[np.str_]) -> float:
    """The one with the smallest squared error on targets that the model was fitted without."""

    def error(penalty: float) -> float:
        parts = [
            gains[of == one] - _fitted(rows[of != one], gains[of != one], penalty)(rows[of == one])
            for one in np.unique(of)
        ]
        return float(np.mean(np.concatenate(parts) ** 2))

    return min(PENALTIES, key=error)


def _alarm(
    rows: Matrix,
    gains: Matrix,
    of: NDArray[np.str_],
    models: Mapping[str, Ridge],
    residuals: Sequence[tuple[str, float]],
) -> float:
    """The lowest probability of harm at which no more than MOST_FALSE_ALARMS of harmless examples are flagged.

    Each example's probability comes from the residuals of other targets alone.
    """
    chances = []
    for target, row in zip(of, rows, strict=True):
        said = float(models[str(target)](row[None])[0])
        drawn = np.array([said + residual for other, residual in residuals if other != target])
        chances.append(float((drawn < 0).mean()))
    harmless = np.array(chances)[gains >= 0]
    if not len(harmless):
        return 0.0
    return float(np.nextafter(np.quantile(harmless, 1 - MOST_FALSE_ALARMS), 1.0))


def by_target(given: Iterable[Example]) -> dict[tuple[str, int | str, str], list[Example]]:
    """The sources that were tried on each target with each number of labels and method."""
    found: dict[tuple[str, int | str, str], list[Example]] = defaultdict(list)
    for one in given:
        found[one.target, one.labels, one.method].append(one)
    return dict(found)
