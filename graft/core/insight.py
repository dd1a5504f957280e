"""The report's sections on why and where: what the net looked at, what it mixes up, how features moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from graft.core import drawing, feature_figures

_LOOK_PX, _PAIR_PX = 96, 64

Picture = NDArray[np.uint8]


class Look(NamedTuple):
    """A test picture and what in it speaks for a class.

    Attributes:
        probability: of `called`, in [0, 1].
        chosen: why it is shown: "surest" of the mistakes, or "drawn" by chance.
        maps: (size, size) uint8 in [0, 255]: for `called`; then for `actual`, if that is another.
    """

    actual: str
    called: str
    probability: float
    chosen: str
    picture: Picture
    maps: Sequence[Picture]


class MixUp(NamedTuple):
    """Test pictures of `actual` called `called`, and training pictures of `called` that are most like them."""

    actual: str
    called: str
    times: int
    share: float
    pictures: Sequence[Picture]
    like: Sequence[Picture]


class Doubt(NamedTuple):
    """A test picture that is hard, or whose label looks wrong.

    Attributes:
        said: in what way, in a few words.
    """

    actual: str
    called: str
    said: str
    picture: Picture


@dataclass(frozen=True)
class Insight:
    """All that these sections show, of the transfer arm. Empty leaves a section out.

    Attributes:
        seed: of the model that looked: the one that ships.
        seeds: how many trainings were asked.
        wrong_for_all: share of test pictures that all of them got wrong.
        n_suspects: how many there are; `suspects` are the first of them.
        features: `rows` by domain; `knn` and `mmd`, each `before` and `after`, None where it could not be measured.
        points: a row per validation picture: plane ("domains" or "classes"), when, domain, label, x, y.
    """

    seed: int
    seeds: int
    wrong_for_all: float
    looks: Sequence[Look] = ()
    pairs: Sequence[MixUp] = ()
    hardest: Sequence[Doubt] = ()
    suspects: Sequence[Doubt] = ()
    n_suspects: int = 0
    features: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[Mapping[str, Any]] = ()


def render(insight: Insight, names: Mapping[str, str]) -> Markup:
    """The sections, ready to stand in the report.

    Args:
        names: of the domains, by "source" and "target".
    """
    looks = {chosen: [one for one in insight.looks if one.chosen == chosen] for chosen in ("surest", "drawn")}
    points = [{**row, "domain": names[row["domain"]]} for row in insight.points]
    planes = {plane: [row for row in points if row["plane"] == plane] for plane in ("domains", "classes")}
    return Markup(
        _template().render(
            insight=insight,
            names=names,
            looks={chosen: [(one, _looked(one)) for one in some] for chosen, some in looks.items() if some},
            pairs=[
                (one, [drawing.sheet([some], _PAIR_PX) for some in (one.pictures, one.like)]) for one in insight.pairs
            ],
            doubts={
                name: [(one, drawing.sheet([[one.picture]], _LOOK_PX)) for one in some]
                for name, some in (("hardest", insight.hardest), ("suspects", insight.suspects))
            },
            charts={plane: feature_figures.planes(rows, plane) for plane, rows in planes.items() if rows},
            look_px=_LOOK_PX,
            pair_px=_PAIR_PX,
        )
    )


def _looked(look: Look) -> str:
    return drawing.sheet([[look.picture, *(drawing.overlay(look.picture, one) for one in look.maps)]], _LOOK_PX)


@cache
def _template() -> Any:
    import jinja2

    from graft.core import report

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = report.percent
    return environment.from_string(files("graft.core").joinpath("insight.html.j2").read_text(encoding="utf-8"))
