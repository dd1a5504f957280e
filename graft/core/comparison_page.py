"""The page of a comparison: which source to take, a heat map of gains, every cell, and what the features had said."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from graft.core import atlas, outlook, page
from graft.core.atlas import Gain, Record
from graft.core.bootstrap import Estimate
from graft.core.comparison import Comparison, interval, signed
from graft.core.drawing import ARMS, INK, canvas, dot, room_for_labels, rows_of, svg
from graft.core.errors import one_line
from graft.core.report import FILTERS

Numbers = Mapping[str, Any]
NONE = "–"


class Said(NamedTuple):
    """What features said of the sources of one target, beside what came of it.

    Attributes:
        head: of the table; rows are sources, in the order of their gains.
        agreement: of each score or distance: its title, and the rank correlation with the measured gains.
        closest: the source whose features lie nearest to the target by each distance.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    agreement: Sequence[tuple[str, float]]
    closest: Mapping[str, str]


def render(comparisons: Sequence[Comparison], looks: Sequence[Record], notes: Sequence[str], made: str) -> str:
    """The page, ready to be written as UTF-8.

    Args:
        looks: of the atlas, those of these sources and targets.
        notes: what a reader should know, a sentence each.
        made: when, as shown.
    """
    sections = [
        {
            "it": one,
            "standings": standings_figure(one, index),
            "map": heat_map(one, index),
            "cells": [_cell(gain, which) for gain in one.gains for which in gain.gain],
            "said": said(one, looks),
        }
        for index, one in enumerate(comparisons)
    ]
    filters = {**FILTERS, "interval": interval}
    template = page.template(page.read("comparison.html.j2"), filters)
    text: str = template.render(sections=sections, notes=notes, made=made)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def standings_figure(one: Comparison, index: int) -> Markup:
    """Mean gain of every source with its interval, the best on top."""
    with canvas(640, 60 + 34 * len(one.standings)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for row, each in enumerate(one.standings):
            colour = {"helps": ARMS["transfer"][0], "harms": ARMS["scratch"][0]}.get(each.verdict, "#5a6270")
            dot(axes, row, each.gain.mean, each.gain.low, each.gain.high, (), colour, "o", "{:+z.1f}")
        rows_of(axes, [each.source for each in one.standings])
        axes.set_xlabel("mean gain over training from nothing, points of accuracy on seen groups")
        room_for_labels(axes)
        return svg(figure, f"standings{index}", f"Mean gain of every source on {one.target} with 95% intervals")


def heat_map(one: Comparison, index: int) -> Markup:
    """Gain of every source with every method and number of labels, by test set; bold where its interval excludes 0."""
    sets = [name for name in atlas.SETS if any(name in gain.gain for gain in one.gains)]
    columns = sorted({(gain.method, gain.labels) for gain in one.gains}, key=lambda each: (each[0], _number(each[1])))
    rows = [each.source for each in one.standings]
    found = {(gain.source, gain.method, gain.labels): gain for gain in one.gains}
    most = max(1.0, *(abs(each.mean) for gain in one.gains for each in gain.gain.values()))
    with canvas(190 + len(sets) * (40 + 62 * len(columns)), 110 + 30 * len(rows)) as figure:
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, sets, strict=True):
            cells = [[_at(found, source, column, name) for column in columns] for source in rows]
            axes.imshow(_colours(cells, most), interpolation="none", aspect="auto")
            for row, line in enumerate(cells):
                for column, each in enumerate(line):
                    if each:
                        weight = "bold" if each.low > 0 or each.high < 0 else "normal"
                        axes.text(column, row, signed(each.mean), ha="center", va="center", weight=weight, fontsize=11)
            axes.set_xticks(range(len(columns)), [f"{labels}\n{one_line(method, 12)}" for method, labels in columns])
            axes.set_yticks(range(len(rows)), [one_line(each, 22) for each in rows])
            axes.set_title(f"{name} test set", loc="left")
            axes.set_xlabel("labels per class, method")
            axes.grid(False)
        return svg(
            figure, f"map{index}", f"Gain of every source on {one.target} in points; the cells' table has the numbers"
        )


def said(one: Comparison, looks: Sequence[Record]) -> Said | None:
    """What the features said of the sources of a target, at the fewest labels; None where nothing was looked at."""
    mine = [each for each in looks if each.decides["target"]["name"] == one.target]
    if not mine:
        return None
    fewest = min((each.decides["labels_per_class"] for each in mine), key=_number)
    of_source = {each.decides["source"]["name"]: each for each in mine if each.decides["labels_per_class"] == fewest}
    order = [each.source for each in one.standings if each.source in of_source]
    kinds: list[tuple[str, str, str]] = [
        (kind, name, outlook.TITLES.get(name, name))
        for kind in ("scores", "distances")
        for name in next(iter(of_source.values())).facts["features"]["transfer"][kind]
    ]
    rows = [(source, *_line(of_source[source], kinds)) for source in order]
    gains = {each.source: each.gain.mean for each in one.standings}
    values = {
        (kind, name): {source: of_source[source].facts["features"]["transfer"][kind][name] for source in order}
        for kind, name, _ in kinds
    }
    agreement = [
        (title, _rank_correlation(values[kind, name], gains, -1 if kind == "distances" else 1))
        for kind, name, title in kinds
    ]
    closest = {
        title: min(known, key=lambda source: known[source])
        for kind, name, title in kinds
        if kind == "distances" and (known := {s: v for s, v in values[kind, name].items() if v is not None})
    }
    head = ("source", "its own validation accuracy", *(title for _, _, title in kinds), "measured gain, points")
    shown = [(*row, signed(gains[row[0]])) for row in rows]
    return Said(head, shown, [(title, value) for title, value in agreement if not np.isnan(value)], closest)


def _line(look: Record, kinds: Sequence[tuple[str, str, str]]) -> tuple[str, ...]:
    facts = look.facts
    measured = facts["features"]["transfer"]
    own = f"{100 * facts['source']['validation_accuracy']:.1f}%"
    return own, *(_figure(name, measured[kind][name]) for kind, name, _ in kinds)


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return NONE
    return f"{100 * value:.1f}%" if name in outlook.SHARES else f"{value:.3f}".replace("-", "−")


def _rank_correlation(values: Mapping[str, float | None], gains: Mapping[str, float], sign: int) -> float:
    """Spearman's, of those sources that have a value; NaN of fewer than three, or where nothing varies."""
    from scipy.stats import spearmanr

    pairs = [(sign * value, gains[source]) for source, value in values.items() if value is not None]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return float("nan")
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def _at(found: Mapping[Any, Gain], source: str, column: tuple[str, int | str], name: str) -> Estimate | None:
    gain = found.get((source, *column))
    return gain.gain.get(name) if gain else None


def _colours(cells: Sequence[Sequence[Estimate | None]], most: float) -> NDArray[np.uint8]:
    """(rows, columns, 4): the more a cell gains or loses, the more of the colour of reuse or of scratch it has."""
    pixels = np.zeros((len(cells), len(cells[0]), 4), np.uint8)
    for row, line in enumerate(cells):
        for column, each in enumerate(line):
            if each:
                colour = ARMS["transfer" if each.mean > 0 else "scratch"][0]
                pixels[row, column, :3] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
                pixels[row, column, 3] = round(170 * min(1.0, abs(each.mean) / most))
    return pixels


def _cell(gain: Gain, which: str) -> dict[str, Any]:
    return {"gain": gain, "set": which, "accuracy": gain.accuracy[which], "scratch": gain.scratch[which]} | {
        "points": interval(gain.gain[which])
    }


def _number(labels: int | str) -> float:
    return float("inf") if labels == "all" else float(labels)
