"""The report's figures: values in, inline SVG out. Colours are CSS variables of the page, so they follow its theme.

Text stays text: the browser draws it in its own font, names of any script included. The same values give the
same bytes.
"""

import base64
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from graft.core.errors import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, safe for colour-blind readers; a shape goes with each, safe in black and white.
ARMS = {"transfer": ("#0072b2", "o"), "scratch": ("#d55e00", "s"), "article": ("#009e73", "D")}
SETS = ("seen", "unseen")
MAX_CLASSES = 40

_INK, _MUTED, _LINE = "#101112", "#5a6270", "#d5d9e0"
_DOMAINS = (("#a8508f", "o"), ("#b07d00", "^"))
_VARIABLES = {
    **{colour: arm for arm, (colour, _) in ARMS.items()},
    **{_INK: "ink", _MUTED: "muted", _LINE: "line", _DOMAINS[0][0]: "source", _DOMAINS[1][0]: "target"},
}


def accuracy(evaluation: Mapping[str, Any]) -> Markup:
    """Accuracy of each arm on each test set: dot, 95 % interval, one small dot per seed."""
    sets = [s for s in SETS if any(evaluation.get(arm, {}).get(s) for arm in ARMS)]
    with _canvas(520, 40 + 135 * len(sets)) as figure:
        panels = figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
        for panel, name in zip(panels, sets, strict=True):
            arms = [arm for arm in ARMS if evaluation.get(arm, {}).get(name)]
            for row, arm in enumerate(arms):
                value = evaluation[arm][name]["accuracy"]
                _dot(panel, row, *_in_percent(value), *ARMS[arm], "{:.1f}%")
            _rows(panel, arms)
            panel.set_title(f"{name} test set", loc="left")
        panels[-1].set_xlabel("accuracy, %")
        _room_for_labels(panels[-1])
        return _svg(figure, "accuracy", "Accuracy of each arm with 95% intervals; the numbers are in the results table")


def gain(evaluation: Mapping[str, Any]) -> Markup:
    """Transfer minus scratch in percentage points with its 95 % interval; zero is where reuse changes nothing."""
    sets = [s for s in SETS if evaluation["gain"].get(s)]
    with _canvas(520, 75 + 60 * len(sets)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=_INK, linewidth=1)
        for row, name in enumerate(sets):
            value = evaluation["gain"][name]
            low, high = value["ci95"]
            colour = ARMS["transfer"][0] if low > 0 else ARMS["scratch"][0] if high < 0 else _MUTED
            pairs = zip(*(evaluation[a][name]["accuracy"]["per_seed"] for a in ("transfer", "scratch")), strict=False)
            seeds = [100 * (transfer - scratch) for transfer, scratch in pairs]
            _dot(axes, row, value["points"], low, high, seeds, colour, "o", "{:+.1f}")
        _rows(axes, sets)
        axes.set_xlabel("transfer minus scratch, percentage points of accuracy")
        _room_for_labels(axes)
        return _svg(figure, "gain", "Gain of transfer over scratch with 95% intervals, in percentage points")


def recalls(rows: Sequence[tuple[str, float, float]]) -> Markup:
    """(class, scratch recall, transfer recall) as a dumbbell each, in the order given, the first on top."""
    with _canvas(520, 70 + 21 * len(rows)) as figure:
        axes = figure.subplots()
        for row, (_, scratch, transfer) in enumerate(rows):
            colour = ARMS["transfer" if transfer >= scratch else "scratch"][0]
            axes.plot([100 * scratch, 100 * transfer], [row, row], color=colour, linewidth=2, alpha=0.45, zorder=2)
            difference = f"{100 * (transfer - scratch):+.0f}".replace("-", "−")
            axes.text(1.01, row, difference, transform=axes.get_yaxis_transform(), va="center", color=_MUTED)
        for column, arm in ((1, "scratch"), (2, "transfer")):
            colour, marker = ARMS[arm]
            values = [100 * row[column] for row in rows]
            axes.plot(values, range(len(rows)), marker, color=colour, markersize=7, label=arm, zorder=3)
        _rows(axes, [row[0] for row in rows])
        axes.set_xlabel("recall, %")
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, "recalls", "Recall of each class, transfer against scratch, the most helped class on top")


def confusion(shares: NDArray[np.float64], labels: Sequence[str]) -> Markup:
    """Share in [0, 1] of each true class (row) that was called each class (column), written in % from 1 % up."""
    side = max(340, 130 + 21 * len(labels))
    with _canvas(side, side) as figure:
        axes = figure.subplots()
        red, green, blue = (int(ARMS["transfer"][0][i : i + 2], 16) for i in (1, 3, 5))
        pixels = np.empty((*shares.shape, 4), dtype=np.uint8)
        pixels[..., :3] = red, green, blue
        pixels[..., 3] = np.rint(255 * shares**0.6)  # few mistakes still show
        axes.imshow(pixels, interpolation="none")
        for row, column in np.argwhere(shares >= 0.01):
            share = shares[row, column]
            colour = "#ffffff" if share > 0.4 else _INK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        names = [one_line(label, 16) for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=11)
        axes.set_yticks(range(len(names)), names, fontsize=11)
        axes.set(xlabel="predicted", ylabel="true")
        axes.grid(False)
        return _svg(
            figure, "confusion", "Confusion matrix of transfer on the seen test set; rows true, columns predicted"
        )


def curves(rows: Sequence[Mapping[str, Any]], key: str, label: str, scale: float = 1.0) -> Markup | None:
    """`rows[key]` over steps: thin lines per seed and learning rate, a thick one for their mean; None without any."""
    rows = [row for row in rows if row.get(key) is not None]
    if not rows:
        return None
    with _canvas(520, 300) as figure:
        axes = figure.subplots()
        for arm in dict.fromkeys(str(row["arm"]) for row in rows):
            colour, marker = ARMS.get(arm, (_MUTED, "v"))
            runs: dict[tuple[Any, Any], dict[float, float]] = {}
            for row in rows:
                if row["arm"] == arm:
                    run = runs.setdefault((row.get("seed"), row.get("learning_rate")), {})
                    run[row["step"]] = scale * row[key]
            for run in runs.values():
                axes.plot(*_sorted(run), color=colour, linewidth=1, alpha=0.35)
            # Runs that stopped early leave the mean, so it ends where the first of them does.
            shared = set.intersection(*(set(run) for run in runs.values()))
            mean = {step: float(np.mean([run[step] for run in runs.values()])) for step in shared}
            axes.plot(*_sorted(mean), f"{marker}-", color=colour, linewidth=2.5, markersize=5, label=one_line(arm, 30))
        axes.set(xlabel="step", ylabel=label)
        figure.legend(loc="outside upper left", ncols=4)
        return _svg(figure, f"curves-{key}", f"Learning curves: {label} over steps for each arm")


def abstention(curves: Mapping[str, Sequence[Sequence[float]]]) -> Markup:
    """By arm, [coverage, accuracy] in [0, 1]: what is right of the surest answers, from few of them to all."""
    with _canvas(520, 300) as figure:
        axes = figure.subplots()
        for arm, points in curves.items():
            colour, marker = ARMS.get(arm, (_MUTED, "v"))
            coverage, accuracy = (100 * np.array(values) for values in zip(*points, strict=True))
            axes.plot(coverage, accuracy, f"{marker}-", color=colour, linewidth=2, markersize=4, label=arm)
        axes.set(xlabel="pictures that are answered, the surest first, %", ylabel="of those right, %")
        axes.set_ylim(top=101)
        figure.legend(loc="outside upper left", ncols=3)
        return _svg(figure, "abstention", "Accuracy over coverage of each arm; the thresholds are in the table")


def labels_curve(name: str, labels: Sequence[int], arms: Mapping[str, Any]) -> Markup:
    """Accuracy of each arm on a test set over labels per class: marks with 95 % intervals, the fitted law as a line."""
    with _canvas(520, 320) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        fine = np.geomspace(labels[0], labels[-1], 50)
        for arm, told in arms.items():
            colour, marker = ARMS[arm]
            for n, one in zip(labels, told["accuracy"], strict=True):
                axes.plot([n, n], [100 * value for value in one["ci95"]], color=colour, linewidth=2, alpha=0.5)
            means = [100 * one["mean"] for one in told["accuracy"]]
            axes.plot(labels, means, marker, color=colour, markersize=7, label=arm)
            law = told["law"]
            axes.plot(fine, 100 * (law["ceiling"] - law["gap"] * fine ** -law["rate"]), color=colour, linewidth=1.5)
        axes.set_title(f"{name} test set", loc="left")
        axes.set_xticks(labels, [str(n) for n in labels])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="labels per class", ylabel="accuracy, %")
        figure.legend(loc="outside upper left", ncols=3)
        return _svg(
            figure, f"labels-{name}", "Accuracy of each arm over labels per class, with 95% intervals and fitted curves"
        )


def groups(arms: Mapping[str, Mapping[str, Any]]) -> Markup:
    """By arm and named group of test pictures, accuracy with its 95 % interval."""
    names = list(dict.fromkeys(name for found in arms.values() for name in found))
    with _canvas(520, 70 + 34 * len(names)) as figure:
        axes = figure.subplots()
        for index, (arm, found) in enumerate(arms.items()):
            shift = 0.5 * (index - (len(arms) - 1) / 2) / max(1, len(arms))
            colour, marker = ARMS[arm]
            for row, name in enumerate(names):
                if name in found:
                    low, high = (100 * value for value in found[name]["accuracy"]["ci95"])
                    axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=2, alpha=0.6)
                    mean = 100 * found[name]["accuracy"]["mean"]
                    axes.plot([mean], [row + shift], marker, color=colour, markersize=6)
            axes.plot([], [], marker, color=colour, label=arm)
        _rows(axes, names)
        axes.set_xlabel("accuracy, %")
        figure.legend(loc="outside upper left", ncols=3)
        return _svg(figure, "groups", "Accuracy on each named group of test pictures, with 95% intervals")


def directions(found: Mapping[str, Any], source: str, target: str) -> Markup:
    """Both domains along the source's directions: variance along PCA's, Fisher's criterion along LDA's."""
    panels = [
        ("pca", "explained_variance", "principal components", "variance explained, %", 100.0),
        ("lda", "separability", "discriminant directions", "between / within classes", 1.0),
    ]
    shown = [panel for panel in panels if any((found.get(panel[0]) or {}).values())]
    with _canvas(520, 40 + 200 * len(shown)) as figure:
        for axes, (name, key, title, label, scale) in zip(
            figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True
        ):
            for (colour, marker), role, domain in zip(_DOMAINS, ("source", "target"), (source, target), strict=True):
                if values := (found[name].get(role) or {}).get(key):
                    ranks = range(1, len(values) + 1)
                    heights = [scale * value for value in values]
                    axes.plot(ranks, heights, f"{marker}-", color=colour, markersize=7, label=one_line(domain, 30))
                    axes.set_xticks(ranks)
            axes.set_title(title, loc="left")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return _svg(
            figure, "directions", f"Directions of the features: how much of {source} and of {target} lies along each"
        )


def projection(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Both domains in one plane: a dot per picture, names at the classes' means where there is room."""
    with _canvas(680, 480) as figure:
        axes = figure.subplots()
        taken: list[tuple[float, float]] = []
        spans = [max(float(np.ptp([row[k] for row in rows])), 1e-9) for k in "xy"]
        for index, domain in enumerate(dict.fromkeys(str(row["domain"]) for row in rows)):
            colour, marker = _DOMAINS[index % 2]
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
        return _svg(figure, "projection", "Features of both domains, projected onto two principal components")


def planes(rows: Sequence[Mapping[str, Any]], colour_by: str) -> Markup:
    """Pictures before and after fine-tuning, a panel each with the same axes; a dot per picture.

    Args:
        rows: when ("before" or "after"), domain, label, x, y.
        colour_by: "domains", or "classes", with names at their means where there is room.
    """
    key = {"domains": "domain", "classes": "label"}[colour_by]
    names = list(dict.fromkeys(str(row[key]) for row in rows))
    with _canvas(1060, 470) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, when in zip(panels, ("before", "after"), strict=True):
            for index, name in enumerate(names):
                inside = [row for row in rows if row["when"] == when and row[key] == name]
                colour, marker = _DOMAINS[index % 2] if key == "domain" else _hue(index, len(names))
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
        return _svg(figure, f"planes-{colour_by}", f"Features before and after fine-tuning in a plane, by {colour_by}")


def layerwise(measured: Mapping[str, Any]) -> Markup:
    """Accuracy over how many blocks come from the source: a line for those frozen, one for those that learn on."""
    with _canvas(680, 330) as figure:
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
        return _svg(figure, "layerwise", "Accuracy over how many of the first blocks come from the source")


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey copy of a (size, size, 3) picture, under a (size, size) map in [0, 255] that goes from dark to bright."""
    import matplotlib

    colour = matplotlib.colormaps["inferno"](heat)[..., :3]
    share = 0.45 + 0.35 * heat[..., None] / 255.0
    grey = picture.mean(axis=2, keepdims=True) / 255.0
    mixed: NDArray[np.uint8] = np.rint(255.0 * ((1.0 - share) * grey + share * colour)).astype(np.uint8)
    return mixed


def alone(chart: Markup) -> str:
    """A figure as an SVG file of its own, on white."""
    opening, _, body = str(chart).partition(">")
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', opening)
    width, height = found.groups() if found else ("520", "300")
    colours = "; ".join(f"--{name}: {colour}" for colour, name in _VARIABLES.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<style>svg {{ {colours} }} text {{ font-family: system-ui, sans-serif !important }}</style>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{body}'
    )


def sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], cell_px: int) -> str:
    """Square pictures, (size, size, 3) each, as one image (data: URI); every row of pictures a row of it."""
    from PIL import Image

    columns = max((len(row) for row in rows), default=1)
    canvas = Image.new("RGBA", (columns * cell_px, len(rows) * cell_px))
    for top, row in enumerate(rows):
        for left, pixels in enumerate(row):
            picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).convert("RGB")
            inner = picture.resize((cell_px - 2, cell_px - 2), Image.Resampling.LANCZOS)
            canvas.paste(inner, (left * cell_px + 1, top * cell_px + 1))
    buffer = io.BytesIO()
    # As PNG, noisy pictures would make the page several times larger than all else in it.
    canvas.save(buffer, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def _canvas(width_px: int, height_px: int) -> "Iterator[Figure]":
    """A figure to draw on and turn into SVG inside the block; no pyplot, so no figure outlives it."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {  # its keys are literals to matplotlib's own types
        **{"svg.fonttype": "none", "font.size": 12, "axes.titlesize": 12, "legend.frameon": False},
        "text.parse_math": False,  # a class may be called "$x"
        **{f"axes.spines.{side}": False for side in ("top", "right", "left", "bottom")},
        **{"axes.grid": True, "grid.color": _LINE, "grid.linewidth": 1, "axes.axisbelow": True},
        **{"text.color": _INK, "axes.labelcolor": _MUTED, "xtick.color": _MUTED, "ytick.color": _INK},
        **{"xtick.major.size": 0, "ytick.major.size": 0, "figure.facecolor": "none", "axes.facecolor": "none"},
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        # The browser has the glyph; only matplotlib's own font, used to measure, does not.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield Figure(figsize=(width_px / 72, height_px / 72), dpi=72, layout="constrained")


def _svg(figure: "Figure", name: str, alt: str) -> Markup:
    """`name` keeps ids of different figures apart in one page."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = name
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=216, metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(
        r"(fill|stroke): (#[0-9a-f]{6})",
        lambda m: f"{m[1]}: var(--{_VARIABLES[m[2]]})" if m[2] in _VARIABLES else m[0],
        body,
    )
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    opening = f'<svg class="chart" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}"'
    return Markup(f'{opening} style="max-width: {width}px">{body}')  # matplotlib escapes the text in body


def _dot(
    axes: "Axes",
    row: int,
    mean: float,
    low: float,
    high: float,
    seeds: Sequence[float],
    colour: str,
    marker: str,
    form: str,
) -> None:
    axes.plot(seeds, [row] * len(seeds), marker, color=colour, markersize=5, alpha=0.3, markeredgewidth=0)
    axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.6, solid_capstyle="round")
    axes.plot([mean], [row], marker, color=colour, markersize=9, zorder=3)
    right = max(high, *seeds, mean) if seeds else max(high, mean)
    text = form.format(mean).replace("-", "−")
    axes.annotate(text, (right, row), (9, 0), textcoords="offset points", va="center", weight="bold")


def _in_percent(value: Mapping[str, Any]) -> tuple[float, float, float, list[float]]:
    low, high = value["ci95"]
    return 100 * value["mean"], 100 * low, 100 * high, [100 * seed for seed in value.get("per_seed", [])]


def _rows(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [one_line(label, 22) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _room_for_labels(axes: "Axes") -> None:
    """A little air on the left, room for a number on the right, and never a span that blows up noise."""
    left, right = axes.get_xlim()
    missing = max(0.0, 10 - (right - left)) / 2
    left, right = left - missing, right + missing
    axes.set_xlim(left, right + 0.14 * (right - left))


def _hue(index: int, count: int) -> tuple[str, str]:
    """One of so many colours, and one of a few shapes: neighbours differ in both."""
    from colorsys import hls_to_rgb

    channels = hls_to_rgb(index / count, 0.5 + 0.1 * (index % 2), 0.7)
    return "#" + "".join(f"{round(255 * one):02x}" for one in channels), "o^sDv"[index % 5]


def _names_at_means(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    """The name of each class where its dots lie, of those that would overlap the first."""
    taken: list[tuple[float, float]] = []
    spans = [max(float(np.ptp([row[k] for row in rows])), 1e-9) for k in "xy"]
    for label in dict.fromkeys(row["label"] for row in rows):
        x, y = (float(np.mean([row[k] for row in rows if row["label"] == label])) for k in "xy")
        if all(abs(x - a) > 0.16 * spans[0] or abs(y - b) > 0.04 * spans[1] for a, b in taken):
            taken.append((x, y))
            axes.text(x, y, one_line(str(label), 18), color=_INK, ha="center", va="center", weight="bold", fontsize=11)


def _sorted(run: Mapping[float, float]) -> tuple[list[float], list[float]]:
    steps = sorted(run)
    return steps, [run[step] for step in steps]
