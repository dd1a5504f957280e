"""The page of a forecast: which source to take and why, how sure that is, and how good such forecasts have been."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from graft.core import forecast_judge, outlook, page
from graft.core.advice import Advice, Candidate, points
from graft.core.comparison import signed
from graft.core.drawing import ARMS, INK, MUTED, canvas, dot, room_for_labels, rows_of, svg
from graft.core.forecast import COVERAGE, Example
from graft.core.forecast_judge import Judgement
from graft.core.report import FILTERS

TITLES = outlook.TITLES | {
    "mmd": "MMD, log10",
    "frechet": "Fréchet, log10",
    "proxy_a": "proxy-A, log10",
    "labels": "labels per class, log10",
    "target_classes": "classes of the target, log10",
    "source_rows": "pictures of the source, log10",
    "source_learned": "how well the source was learned",
    "fresh_linear_probe": "linear probe of an untrained net",
}
NONE = "–"


@dataclass(frozen=True)
class Section:
    """What is foretold of one target with one number of labels; candidates are ordered, the best first.

    Attributes:
        method: by which, "" where there is but one.
    """

    target: str
    labels: int | str
    advice: Advice
    candidates: Sequence[Candidate]
    warnings: Sequence[str]
    method: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "labels_per_class": self.labels,
            "method": self.method,
            "advice": self.advice.sentence,
            "experiment": self.advice.experiment,
            "what": self.advice.what,
            "sources": list(self.advice.sources),
            "warnings": list(self.warnings),
            "candidates": [
                {
                    "source": one.case.source,
                    "shown": points(one.told).replace(" points", ""),
                    "gain": one.told.gain,
                    "interval": [one.told.low, one.told.high],
                    "harm": one.told.harm,
                    "flagged": one.told.flagged,
                    "measured": signed(one.case.gain) if one.measured else "",
                }
                for one in self.candidates
            ],
        }


def render(sections: Sequence[Section], judgement: Judgement, known: Sequence[Example], made: str) -> str:
    """The page, ready to be written as UTF-8."""
    told = forecast_judge.foretold(known)
    text: str = page.template(page.read("forecast.html.j2"), {**FILTERS, "said": points, "signed": signed}).render(
        sections=[(one, candidates_figure(one, index), _why(one)) for index, one in enumerate(sections)],
        how_good=how_good(judgement),
        judgement=judgement,
        past=past_figure(known, [(one.gain, one.low, one.high) for one in told]),
        alone=sorted(((TITLES.get(name, name), value) for name, value in judgement.alone.items()), key=lambda x: x[1]),
        coverage=COVERAGE,
        known=known,
        made=made,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def how_good(one: Judgement) -> str:
    """How forecasts for targets they had not seen have done, in a sentence or two."""
    best, regret = min(one.alone.items(), key=lambda each: each[1])
    harm = ""
    if one.flagged is not None and one.false_alarms is not None:
        harm = (
            f" Of {one.harmful} cases in which reuse harmed, {one.flagged:.0%} were flagged, and of the others "
            f"{one.false_alarms:.0%}."
        )
    return (
        f"How good such forecasts are, each target foretold from the others ({one.cases} cases on {one.targets} "
        f"targets): the {COVERAGE:.0%} interval held {one.covered:.0%}; the source it chose was {one.regret:.1f} "
        f"points behind the best on average, {regret:.1f} by the best single score ({TITLES.get(best, best)}).{harm}"
    )


def candidates_figure(one: Section, index: int) -> Markup:
    """Foretold gain of every source with its interval; a cross where it has been measured."""
    with canvas(640, 70 + 34 * (len(one.candidates) + 1)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for row, each in enumerate(one.candidates):
            told = each.told
            colour = ARMS["scratch"][0] if told.flagged else ARMS["transfer"][0] if told.low > 0 else MUTED
            dot(axes, row, told.gain, told.low, told.high, (), colour, "o", "{:+z.1f}")
            if each.measured:
                axes.plot([each.case.gain], [row], "x", color=INK, markersize=8, markeredgewidth=2, zorder=4)
        names = [each.case.source for each in one.candidates]
        axes.plot([0], [len(names)], "s", color=INK, markersize=7)
        rows_of(axes, [*names, "no transfer"])
        axes.set_xlabel("foretold gain, points of accuracy on seen groups (cross: measured)")
        room_for_labels(axes)
        return svg(
            figure, f"forecast{index}", f"Foretold gain of every source on {one.target}; the table has the numbers"
        )


def past_figure(known: Sequence[Example], told: Sequence[tuple[float, float, float]]) -> Markup:
    """What was foretold of every measured case, its target kept out, against what was measured."""
    with canvas(520, 420) as figure:
        axes = figure.subplots()
        gains = np.array([one.gain for one in known])
        middle, low, high = (np.array(column) for column in zip(*told, strict=True))
        inside = (low <= gains) & (gains <= high)
        for which, colour, label in ((inside, ARMS["transfer"][0], "inside"), (~inside, ARMS["scratch"][0], "outside")):
            axes.vlines(gains[which], low[which], high[which], color=colour, linewidth=1, alpha=0.35)
            marker = "o" if label == "inside" else "s"
            axes.plot(gains[which], middle[which], marker, color=colour, markersize=5, label=f"{label} its interval")
        ends = [float(min(gains.min(), middle.min())), float(max(gains.max(), middle.max()))]
        axes.plot(ends, ends, color=INK, linewidth=1)
        axes.set(xlabel="measured gain, points", ylabel="foretold gain, points")
        figure.legend(loc="outside upper left", ncols=2)
        return svg(
            figure, "past", "Foretold against measured gains, each target kept out of what its forecast learned from"
        )


def _why(one: Section) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What is known of each source, as a table: its head, and a row for each."""
    names = [name for name in one.candidates[0].case.known if name in TITLES]
    head = ("source", *(TITLES[name] for name in names))
    rows = [(each.case.source, *(_figure(each.case.known.get(name)) for name in names)) for each in one.candidates]
    return head, rows


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}".replace("-", "−")
