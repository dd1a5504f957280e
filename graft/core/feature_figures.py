"""The report's figures of features: both domains in a plane, along directions, and block by block."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from graft.core.drawing import ARMS, DOMAINS, INK, canvas, hue, svg
from graft.core.errors import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def directions(found: Mapping[str, Any], source: str, target: str) -> Markup:
    """Both domains along the source's directions: variance along PCA's, Fisher's criterion along LDA's."""
    panels = [
        ("pca", "explained_variance", "principal components", "variance explained, %", 100.0),
        ("lda", "separability", "discriminant directions", "between / within classes", 1.0),
    ]
    shown = [panel for panel in panels if any((found.get(panel[0]) or {}).values())]
    with canvas(520, 40 + 200 * len(shown)) as figure:
        for axes, (name, key, title, label, scale) in zip(
            figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True
        ):
            for (colour, marker), role, domain in zip(DOMAINS, ("source", "target"), (source, target), strict=True):
                if values := (found[name].get(role) or {}).get(key):
                    ranks = range(1, len(values) + 1)
                    heights = [scale * value for value in values]
                    axes.plot(ranks, heights, f"{marker}-", color=colour, markersize=7, label=one_line(domain, 30))
                    axes.set_xticks(ranks)
            axes.set_title(title, loc="left")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return svg(
            figure, "directions", f"Directions of the features: how much of {source} and of {target} lies along each"
        )


def projection(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Both domains in one plane: a dot per picture, names at the classes' means where there is room."""
    with canvas(680, 480) as figure:
        axes = figure.subplots()
        taken: list[tuple[float, float]] = []
        spans = [max(float(np.ptp([row[k] for row in rows])), 1e-9) for k in "xy"]
        for index, domain in enumerate(dict.fromkeys(str(row["domain"]) for row in rows)):
            colour, marker = DOMAINS[index % 2]
            inside = [row for row in rows if row["domain"] == domain]
            xs, ys = [row["x"] for row in inside], [row["y"] for row in inside]
            axes.scatter(xs, ys, 12, color=colour, marker=marker, alpha=0.45, linewidths=0, rasterized=True)
            axes.plot([], [], marker, color=colour, label=one_line(domain, 30))
            for label in dict.fromkeys(row["label"] for row in inside):
                x, y = (float(np.mean([row[k] for row in inside if row["label"] == label])) for k in "xy")
                if all(abs(x - a) > 0.12 * spans[0] or abs(y - b) > 0.035 * spans[1] for a, b in taken):
                    taken.append((x, y))
                    axes.text(x, y, one_line(str(label), 18), color=colour, ha="center", va="center", weight="bold")
        axes.set(xlabel="first principal component", ylabel="second principal component", xticks=[], yticks=[])
        figure.legend(loc="outside upper left", ncols=2)
        return svg(figure, "projection", "Features of both domains, projected onto two principal components")


def planes(rows: Sequence[Mapping[str, Any]], colour_by: str) -> Markup:
    """Pictures before and after fine-tuning, a panel each with the same axes; a dot per picture.

    Args:
        rows: when ("before" or "after"), domain, label, x, y.
        colour_by: "domains", or "classes", with names at their means where there is room.
    """
    key = {"domains": "domain", "classes": "label"}[colour_by]
    names = list(dict.fromkeys(str(row[key]) for row in rows))
    with canvas(1060, 470) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, when in zip(panels, ("before", "after"), strict=True):
            for index, name in enumerate(names):
                inside = [row for row in rows if row["when"] == when and row[key] == name]
                colour, marker = DOMAINS[index % 2] if key == "domain" else hue(index, len(names))
                xs, ys = [row["x"] for row in inside], [row["y"] for row in inside]
                dots = axes.scatter(xs, ys, 14, color=colour, marker=marker, alpha=0.7, linewidths=0)
                dots.set_rasterized(key == "label")  # the domains' colours follow the page's theme
                if when == "before" and key == "domain":
                    axes.plot([], [], marker, color=colour, label=one_line(name, 30))
            if key == "label":
                _names_at_means(axes, [row for row in rows if row["when"] == when])
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{when} fine-tuning", loc="left")
        if key == "domain":
            figure.legend(loc="outside upper left", ncols=2)
        return svg(figure, f"planes-{colour_by}", f"Features before and after fine-tuning in a plane, by {colour_by}")


def layerwise(measured: Mapping[str, Any]) -> Markup:
    """Accuracy over how many blocks come from the source: a line for those frozen, one for those that learn on."""
    with canvas(680, 330) as figure:
        axes = figure.subplots()
        for (kind, label), arm in zip(
            (("learning", "taken and learning on"), ("frozen", "taken and frozen")),
            ("transfer", "scratch"),
            strict=True,
        ):
            colour, marker = ARMS[arm]
            rows = [[100 * one for one in some if one is not None] for some in measured[kind]]
            for taken, some in enumerate(rows):
                axes.plot([taken] * len(some), some, marker, color=colour, markersize=5, alpha=0.3, markeredgewidth=0)
            means = [(taken, float(np.mean(some))) for taken, some in enumerate(rows) if some]
            xs, ys = [taken for taken, _ in means], [mean for _, mean in means]
            axes.plot(xs, ys, f"{marker}-", color=colour, linewidth=2.5, markersize=7, label=label)
        every = len(measured["blocks"])
        axes.set_xticks(range(0, every + 1, max(1, every // 12)))
        axes.set(xlabel="first blocks taken from the source", ylabel="accuracy on validation rows, %")
        figure.legend(loc="outside upper left", ncols=2)
        return svg(figure, "layerwise", "Accuracy over how many of the first blocks come from the source")


def _names_at_means(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    """The name of each class where its dots lie, of those that would overlap the first."""
    taken: list[tuple[float, float]] = []
    spans = [max(float(np.ptp([row[k] for row in rows])), 1e-9) for k in "xy"]
    for label in dict.fromkeys(row["label"] for row in rows):
        x, y = (float(np.mean([row[k] for row in rows if row["label"] == label])) for k in "xy")
        if all(abs(x - a) > 0.16 * spans[0] or abs(y - b) > 0.04 * spans[1] for a, b in taken):
            taken.append((x, y))
            axes.text(x, y, one_line(str(label), 18), color=INK, ha="center", va="center", weight="bold", fontsize=11)
