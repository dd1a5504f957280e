"""What to do about a forecast: take a source, take none, or try the few that could be it, as cheaply as possible."""

from collections.abc import Sequence
from dataclasses import dataclass

from graft.core import comparison
from graft.core.bootstrap import Estimate
from graft.core.errors import BadInput
from graft.core.forecast import Example, Told

TRIED = 3
"""Sources that an experiment tries at the most."""
SEEDS = 3


@dataclass(frozen=True)
class Candidate:
    """A source, what is foretold of it, and what was measured if it was.

    Attributes:
        case: its gain is NaN where nobody measured it.
    """

    case: Example
    told: Told

    @property
    def measured(self) -> bool:
        return self.case.gain == self.case.gain


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes:
        what: `take`, `none` or `cannot tell`.
        sentence: for people.
        sources: to take, or to try.
        experiment: the cheapest one that would tell, and about how long it takes; "" where none is needed.
    """

    what: str
    sentence: str
    sources: tuple[str, ...]
    experiment: str = ""


def advise(candidates: Sequence[Candidate], target: str, labels: int | str, seconds: float, method: str = "") -> Advice:
    """Which source to take for a target with so many labels per class.

    The one with the highest forecast is taken if its interval lies above 0. None is taken if every interval lies below
    0. Otherwise the data at hand cannot tell, and what would is to try the likeliest ones. Where all were tried
    already, what was measured decides.

    Args:
        seconds: of processor time for one training.
        method: by which, where that has to be told apart.

    Raises:
        BadInput: there is no candidate.
    """
    if not candidates:
        raise BadInput(f"no source is named that {target} could be learned from; compare.yaml lists some")
    where = f"{target} with {labels} labels per class" + (f" by {method}" if method else "")
    if all(one.measured for one in candidates):
        return _known(candidates, where)
    order = sorted(candidates, key=lambda one: (-one.told.gain, one.case.source))
    best = order[0]
    if best.told.low > 0:
        level = [one.case.source for one in order[1:] if one.told.low > 0 and one.told.high >= best.told.gain]
        others = f"; {', '.join(level)} may do as well" if level else ""
        return Advice("take", f"{where}: take {best.case.source}, {points(best.told)}{others}", (best.case.source,))
    if all(one.told.high < 0 for one in order):
        return Advice("none", f"{where}: train from nothing; every source is foretold to harm", ())
    trying = [one.case.source for one in order if one.told.high > 0 and not one.measured][:TRIED]
    cost = seconds * SEEDS * (len(trying) + 1)
    asked = f"{command(trying, labels)}, about {cost / 60:.0f} minutes of one core once the sources are learned"
    told = f"{where}: cannot tell; {best.case.source} comes first with {points(best.told)}"
    return Advice("cannot tell", told, tuple(trying), asked if trying else "")


def _known(candidates: Sequence[Candidate], where: str) -> Advice:
    best = max(candidates, key=lambda one: (one.case.gain, one.case.source))
    told = f"{best.case.source} {best.case.gain:+z.1f} ± {best.case.error:.1f} points".replace("-", "−")
    if best.case.gain > best.case.error:
        return Advice("take", f"{where}: measured already, take {told}", (best.case.source,))
    return Advice("none", f"{where}: measured already, no source is shown to help; first comes {told}", ())


def warnings(candidates: Sequence[Candidate]) -> list[str]:
    """A plain line for each source that likely harms."""
    return [
        f"{one.case.source} likely harms: {one.told.harm:.0%} of its forecast lies below 0, {points(one.told)}"
        for one in candidates
        if one.told.flagged
    ]


def points(told: Told) -> str:
    """`+7.6 points [+1.9, +13.3]`"""
    return comparison.points(Estimate(told.gain, told.low, told.high))


def command(sources: Sequence[str], labels: int | str) -> str:
    """What to type to measure them."""
    return f"graft compare {' '.join(sources)} --labels {labels}"
