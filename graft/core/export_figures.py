"""What the report shows of exported files: accuracy against size and time, and where file and model part."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from graft.core.drawing import INK, MUTED, canvas, hue, svg
from graft.core.errors import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("bytes", 1e-6, "size, MB"), ("ms", 1.0, "one picture, ms (median)"))
SHAPES = "o^sDvPX*<>"

Files = Mapping[str, Mapping[str, Any]]
"""By name, what reports/export.json says of each file."""


class Look(NamedTuple):
    """How a file is drawn."""

    colour: str
    shape: str
    filled: bool = True
    runs: bool = False


def trade(files: Files, keras_accuracy: float, runs: str) -> Markup:
    """Accuracy of each file with its 95 % interval over its size and over its time; hollow if it was refused.

    Where the net has variants, a file's colour says of which it is and its shape how it keeps numbers; else each file
    has its own.
    """
    looks = {name: look._replace(filled=files[name]["passed"], runs=name == runs) for name, look in _looks(files)}
    legend = _by_net(files, looks, runs) if len(_nets(files)) > 1 else _by_file(files, looks, runs)
    with canvas(860, 330) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for panel, (key, unit, label) in zip(panels, PANELS, strict=True):
            panel.axhline(100 * keras_accuracy, color=MUTED, linewidth=1, linestyle="--")
            for name, file in files.items():
                x = unit * (file["bytes"] if key == "bytes" else file["latency_ms"]["median"])
                interval = [100 * value for value in file["accuracy_ci95"]]
                panel.plot([x, x], interval, color=looks[name].colour, linewidth=2, alpha=0.4)
                _mark(panel, looks[name], [x], [100 * file["accuracy"]])
            _logarithmic(panel)
            panel.set_xlabel(label)
        for told, look in legend:
            _mark(panels[0], look, [], [], one_line(told, 46))
        panels[0].set_ylabel("accuracy on test pictures, %")
        figure.legend(loc="outside upper left", ncols=3)
        return svg(
            figure, "files", "Accuracy of each exported file over its size and its time; the table has the numbers"
        )


def _nets(files: Files) -> list[str]:
    """Names of the variants that the files are of, "" for the whole net, in their order."""
    return list(dict.fromkeys(file.get("variant", "") for file in files.values()))


def _kinds(files: Files) -> list[str]:
    return list(dict.fromkeys(_kind(file) for file in files.values()))


def _kind(file: Mapping[str, Any]) -> str:
    """How numbers are kept, and the format where it is not the usual one."""
    return file["precision"] if file["format"] == "tflite" else f"{file['format']} {file['precision']}"


def _looks(files: Files) -> list[tuple[str, Look]]:
    nets, kinds = _nets(files), _kinds(files)
    if len(nets) == 1:
        return [(name, Look(*hue(index, len(files)))) for index, name in enumerate(files)]
    colours = [hue(index, len(nets))[0] for index in range(len(nets))]
    return [
        (name, Look(colours[nets.index(file.get("variant", ""))], SHAPES[kinds.index(_kind(file)) % len(SHAPES)]))
        for name, file in files.items()
    ]


def _by_file(files: Files, looks: Mapping[str, Look], runs: str) -> list[tuple[str, Look]]:
    """The legend: each file."""
    ends = {name: ", runs" if name == runs else "" if file["passed"] else ", refused" for name, file in files.items()}
    return [(f"{one_line(name, 37)}{ends[name]}", look) for name, look in looks.items()]


def _by_net(files: Files, looks: Mapping[str, Look], runs: str) -> list[tuple[str, Look]]:
    """The legend: each net's colour, each precision's shape, and the file that runs."""
    nets = {files[name].get("variant", "") or "whole": Look(look.colour, "h") for name, look in looks.items()}
    kinds = {_kind(files[name]): Look(MUTED, look.shape) for name, look in looks.items()}
    return [*nets.items(), *kinds.items(), *((f"{name}, runs", looks[name]) for name in files if name == runs)]


def _mark(panel: "Axes", look: Look, x: Sequence[float], y: Sequence[float], label: str | None = None) -> None:
    panel.plot(
        x,
        y,
        look.shape,
        color=INK if look.runs else look.colour,
        markerfacecolor=look.colour if look.filled else "none",
        markersize=9,
        markeredgewidth=2,
        label=label,
        linestyle="none",
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
