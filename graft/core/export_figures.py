"""What the report shows of exported files: accuracy against size and time, and where file and model part."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from graft.core.drawing import INK, MUTED, canvas, hue, svg
from graft.core.errors import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("bytes", 1e-6, "size, MB"), ("ms", 1.0, "one picture, ms (median)"))


def trade(files: Mapping[str, Mapping[str, Any]], keras_accuracy: float, runs: str) -> Markup:
    """Accuracy of each file with its 95 % interval over its size and over its time; hollow if it was refused."""
    with canvas(860, 330) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for panel, (key, unit, label) in zip(panels, PANELS, strict=True):
            panel.axhline(100 * keras_accuracy, color=MUTED, linewidth=1, linestyle="--")
            for index, (name, file) in enumerate(files.items()):
                colour, marker = hue(index, len(files))
                x = unit * (file["bytes"] if key == "bytes" else file["latency_ms"]["median"])
                low, high = (100 * value for value in file["accuracy_ci95"])
                panel.plot([x, x], [low, high], color=colour, linewidth=2, alpha=0.4)
                inside = colour if file["passed"] else "none"
                edge = INK if name == runs else colour
                told = f"{one_line(name, 40)}{', runs' if name == runs else '' if file['passed'] else ', refused'}"
                panel.plot(
                    [x],
                    [100 * file["accuracy"]],
                    marker,
                    color=edge,
                    markerfacecolor=inside,
                    markersize=9,
                    markeredgewidth=2,
                    label=told if key == "bytes" else None,
                    linestyle="none",
                )
            _logarithmic(panel)
            panel.set_xlabel(label)
        panels[0].set_ylabel("accuracy on test pictures, %")
        figure.legend(loc="outside upper left", ncols=3)
        return svg(
            figure, "files", "Accuracy of each exported file over its size and its time; the table has the numbers"
        )


def _logarithmic(panel: "Axes") -> None:
    """Steps of 1, 2 and 5, written out: powers of ten would be formulas, which the text of an SVG is not."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    steps = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    inside = [step for step in steps if low <= step <= high]
    panel.set_xticks(inside, [f"{step:g}" for step in inside])
    panel.set_xticks([], minor=True)


def hardest_classes(files: Mapping[str, Mapping[str, Any]], labels: Sequence[str], most: int) -> dict[str, list[Any]]:
    """By file, the classes that lose most recall against the model, as (label, points), the worst first."""
    found = {}
    for name, file in files.items():
        drops = [
            (label, points)
            for label, points in zip(labels, file.get("class_drop_points") or (), strict=False)
            if points is not None and points > 0
        ]
        found[name] = sorted(drops, key=lambda one: -one[1])[:most]
    return {name: drops for name, drops in found.items() if drops}
