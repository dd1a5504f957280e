"""How good forecasts are: each target foretold by what was learned from the others, next to every single score."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graft.core import forecast
from graft.core.forecast import Example, Told

SINGLE = ("h_score", "knn", "linear_probe", "logme", "nleep", "frechet", "mmd", "proxy_a", "source_learned")
"""What a source may be chosen by alone: the scores' gain over the untrained net, nearness, its own accuracy."""
NEARER_IS_BETTER = ("frechet", "mmd", "proxy_a")


@dataclass(frozen=True)
class Judgement:
    """What came of forecasts for targets that they had not seen.

    Attributes:
        cases: sources on targets, with a number of labels each.
        covered: share of gains inside the interval, which is to hold COVERAGE of them.
        width: of the interval, mean points.
        error: mean absolute points between forecast and gain.
        choices: targets with a number of labels and a method, in each of which one source, or none, was chosen.
        regret: points by which the chosen one is worse than the best, mean; none counts as 0 points.
        harmful: cases whose gain is below 0.
        flagged: share of them that a warning names.
        false_alarms: share of the others that one names.
        alone: by score, the regret of always taking the source that it puts first.
    """

    targets: int
    cases: int
    covered: float
    width: float
    error: float
    choices: int
    regret: float
    harmful: int
    flagged: float | None
    false_alarms: float | None
    alone: Mapping[str, float]

    @property
    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(given: Sequence[Example]) -> Judgement:
    """Forecast every example from those of other targets, and look at what came of it.

    Raises:
        BadInput: without one target there is too little left to learn from.
    """
    told = foretold(given)
    gains = np.array([one.gain for one in given])
    low, high, middle = (np.array([getattr(one, name) for one in told]) for name in ("low", "high", "gain"))
    flags, harmful = np.array([one.flagged for one in told]), gains < 0
    groups = forecast.by_target(given)
    place = {id(one): index for index, one in enumerate(given)}
    chosen = {key: [middle[place[id(one)]] for one in group] for key, group in groups.items()}
    return Judgement(
        targets=len({one.target for one in given}),
        cases=len(given),
        covered=float(((low <= gains) & (gains <= high)).mean()),
        width=float((high - low).mean()),
        error=float(np.abs(middle - gains).mean()),
        choices=len(groups),
        regret=_regret(groups, chosen, or_none=True),
        harmful=int(harmful.sum()),
        flagged=float(flags[harmful].mean()) if harmful.any() else None,
        false_alarms=float(flags[~harmful].mean()) if (~harmful).any() else None,
        alone={name: _regret(groups, scores, or_none=False) for name, scores in _alone(groups).items()},
    )


def foretold(given: Sequence[Example]) -> list[Told]:
    """The forecast for each example, from those of other targets."""
    learned = {
        target: forecast.learn([one for one in given if one.target != target])
        for target in {one.target for one in given}
    }
    return [learned[one.target].tell(one) for one in given]


Key = tuple[str, int | str, str]
Groups = Mapping[Key, Sequence[Example]]


def _alone(groups: Groups) -> dict[str, dict[Key, list[float]]]:
    found = {}
    for name in SINGLE:
        sign = -1.0 if name in NEARER_IS_BETTER else 1.0
        values = {
            key: [sign * value if (value := one.known.get(name)) is not None else -np.inf for one in group]
            for key, group in groups.items()
        }
        if any(np.isfinite(value) for column in values.values() for value in column):
            found[name] = values
    return found


def _regret(groups: Groups, said: Mapping[Key, Sequence[float]], or_none: bool) -> float:
    """Mean points that the best source, or none, has over the one that is put first.

    Args:
        or_none: whether none is taken where nothing above 0 was said.
    """
    lost = []
    for key, group in groups.items():
        gains = [one.gain for one in group]
        first = int(np.argmax(said[key]))
        taken = gains[first] if not or_none or said[key][first] > 0 else 0.0
        lost.append(max(0.0, *gains) - taken)
    return float(np.mean(lost))
