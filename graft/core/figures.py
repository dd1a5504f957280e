"""The report's figures of what was measured: values in, inline SVG out; see `drawing`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from graft.core.drawing import ARMS, INK, MUTED, canvas, dot, in_order, room_for_labels, rows_of, svg
from graft.core.errors import one_line

SETS = ("seen", "unseen")
MAX_CLASSES = 40


def accuracy(evaluation: Mapping[str, Any]) -> Markup:
    """Accuracy of each arm on each test set: dot, 95 % interval, one small dot per seed."""
    sets = [s for s in SETS if any(evaluation.get(arm, {}).get(s) for arm in ARMS)]
    with canvas(520, 40 + 135 * len(sets)) as figure:
        panels = figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
        for panel, name in zip(panels, sets, strict=True):
            arms = [arm for arm in ARMS if evaluation.get(arm, {}).get(name)]
            for row, arm in enumerate(arms):
                value = evaluation[arm][name]["accuracy"]
                dot(panel, row, *_in_percent(value), *ARMS[arm], "{:.1f}%")
            rows_of(panel, arms)
            panel.set_title(f"{name} test set", loc="left")
        panels[-1].set_xlabel("accuracy, %")
        room_for_labels(panels[-1])
        return svg(figure, "accuracy", "Accuracy of each arm with 95% intervals; the numbers are in the results table")


def gain(evaluation: Mapping[str, Any]) -> Markup:
    """Transfer minus scratch in percentage points with its 95 % interval; zero is where reuse changes nothing."""
    sets = [s for s in SETS if evaluation["gain"].get(s)]
    with canvas(520, 75 + 60 * len(sets)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for row, name in enumerate(sets):
            value = evaluation["gain"][name]
            low, high = value["ci95"]
            colour = ARMS["transfer"][0] if low > 0 else ARMS["scratch"][0] if high < 0 else MUTED
            pairs = zip(*(evaluation[a][name]["accuracy"]["per_seed"] for a in ("transfer", "scratch")), strict=False)
            seeds = [100 * (transfer - scratch) for transfer, scratch in pairs]
            dot(axes, row, value["points"], low, high, seeds, colour, "o", "{:+z.1f}")
        rows_of(axes, sets)
        axes.set_xlabel("transfer minus scratch, percentage points of accuracy")
        room_for_labels(axes)
        return svg(figure, "gain", "Gain of transfer over scratch with 95% intervals, in percentage points")


def recalls(rows: Sequence[tuple[str, float, float]]) -> Markup:
    """(class, scratch recall, transfer recall) as a dumbbell each, in the order given, the first on top."""
    with canvas(520, 70 + 21 * len(rows)) as figure:
        axes = figure.subplots()
        for row, (_, scratch, transfer) in enumerate(rows):
            colour = ARMS["transfer" if transfer >= scratch else "scratch"][0]
            axes.plot([100 * scratch, 100 * transfer], [row, row], color=colour, linewidth=2, alpha=0.45, zorder=2)
            difference = f"{100 * (transfer - scratch):+z.0f}".replace("-", "−")
            axes.text(1.01, row, difference, transform=axes.get_yaxis_transform(), va="center", color=MUTED)
        for column, arm in ((1, "scratch"), (2, "transfer")):
            colour, marker = ARMS[arm]
            values = [100 * row[column] for row in rows]
            axes.plot(values, range(len(rows)), marker, color=colour, markersize=7, label=arm, zorder=3)
        rows_of(axes, [row[0] for row in rows])
        axes.set_xlabel("recall, %")
        figure.legend(loc="outside upper left", ncols=2)
        return svg(figure, "recalls", "Recall of each class, transfer against scratch, the most helped class on top")


def confusion(shares: NDArray[np.float64], labels: Sequence[str]) -> Markup:
    """Share in [0, 1] of each true class (row) that was called each class (column), written in % from 1 % up."""
    side = max(340, 130 + 21 * len(labels))
    with canvas(side, side) as figure:
        axes = figure.subplots()
        red, green, blue = (int(ARMS["transfer"][0][i : i + 2], 16) for i in (1, 3, 5))
        pixels = np.empty((*shares.shape, 4), dtype=np.uint8)
        pixels[..., :3] = red, green, blue
        pixels[..., 3] = np.rint(255 * shares**0.6)  # few mistakes still show
        axes.imshow(pixels, interpolation="none")
        for row, column in np.argwhere(shares >= 0.01):
            share = shares[row, column]
            colour = "#ffffff" if share > 0.4 else INK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        names = [one_line(label, 16) for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=11)
        axes.set_yticks(range(len(names)), names, fontsize=11)
        axes.set(xlabel="predicted", ylabel="true")
        axes.grid(False)
        return svg(
            figure, "confusion", "Confusion matrix of transfer on the seen test set; rows true, columns predicted"
        )


def curves(rows: Sequence[Mapping[str, Any]], key: str, label: str, scale: float = 1.0) -> Markup | None:
    """`rows[key]` over steps: thin lines per seed and learning rate, a thick one for their mean; None without any."""
    rows = [row for row in rows if row.get(key) is not None]
    if not rows:
        return None
    with canvas(520, 300) as figure:
        axes = figure.subplots()
        for arm in dict.fromkeys(str(row["arm"]) for row in rows):
            colour, marker = ARMS.get(arm, (MUTED, "v"))
            runs: dict[tuple[Any, Any], dict[float, float]] = {}
            for row in rows:
                if row["arm"] == arm:
                    run = runs.setdefault((row.get("seed"), row.get("learning_rate")), {})
                    run[row["step"]] = scale * row[key]
            for run in runs.values():
                axes.plot(*in_order(run), color=colour, linewidth=1, alpha=0.35)
            # Runs that stopped early leave the mean, so it ends where the first of them does.
            shared = set.intersection(*(set(run) for run in runs.values()))
            mean = {step: float(np.mean([run[step] for run in runs.values()])) for step in shared}
            axes.plot(
                *in_order(mean),
                f"{marker}-",
                color=colour,
                linewidth=2.5,
                markersize=5,
                label=one_line(arm, 30),
            )
        axes.set(xlabel="step", ylabel=label)
        figure.legend(loc="outside upper left", ncols=4)
        return svg(figure, f"curves-{key}", f"Learning curves: {label} over steps for each arm")


def abstention(curves: Mapping[str, Sequence[Sequence[float]]]) -> Markup:
    """By arm, [coverage, accuracy] in [0, 1]: what is right of the surest answers, from few of them to all."""
    with canvas(520, 300) as figure:
        axes = figure.subplots()
        for arm, points in curves.items():
            colour, marker = ARMS.get(arm, (MUTED, "v"))
            coverage, accuracy = (100 * np.array(values) for values in zip(*points, strict=True))
            axes.plot(coverage, accuracy, f"{marker}-", color=colour, linewidth=2, markersize=4, label=arm)
        axes.set(xlabel="pictures that are answered, the surest first, %", ylabel="of those right, %")
        axes.set_ylim(top=101)
        figure.legend(loc="outside upper left", ncols=3)
        return svg(figure, "abstention", "Accuracy over coverage of each arm; the thresholds are in the table")


def labels_curve(name: str, labels: Sequence[int], arms: Mapping[str, Any]) -> Markup:
    """Accuracy of each arm on a test set over labels per class: marks with 95 % intervals, the fitted law as a line."""
    with canvas(520, 320) as figure:
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
        return svg(
            figure, f"labels-{name}", "Accuracy of each arm over labels per class, with 95% intervals and fitted curves"
        )


def groups(arms: Mapping[str, Mapping[str, Any]]) -> Markup:
    """By arm and named group of test pictures, accuracy with its 95 % interval."""
    names = list(dict.fromkeys(name for found in arms.values() for name in found))
    with canvas(520, 70 + 34 * len(names)) as figure:
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
        rows_of(axes, names)
        axes.set_xlabel("accuracy, %")
        figure.legend(loc="outside upper left", ncols=3)
        return svg(figure, "groups", "Accuracy on each named group of test pictures, with 95% intervals")


def _in_percent(value: Mapping[str, Any]) -> tuple[float, float, float, list[float]]:
    low, high = value["ci95"]
    return 100 * value["mean"], 100 * low, 100 * high, [100 * seed for seed in value.get("per_seed", [])]
