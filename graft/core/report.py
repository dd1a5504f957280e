"""The HTML report: did reuse pay, by how much, where does it fail, and is the file that ships the measured model.

One page that fetches nothing and reads the same in light, dark and print; its one script sorts, filters and enlarges.
Every name in it is untrusted and shown as text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import drawing, export_figures, feature_figures, figures, outlook, page, variants
from graft.core import insight as why

STAGES = ("ingest", "validate", "extract", "pretrain", "finetune", "evaluate", "curve", "export")
SCORES = {"accuracy": "accuracy", "macro_recall": "macro recall", "macro_f1": "macro-F1"}

MORE_SCORES = {"macro_precision": "macro precision", "top_k_accuracy": "true class among the top {}"}
ERRORS = {"log_loss": "log loss, nats", "brier": "Brier score", "expected_calibration_error": "calibration error"}

_CELL_PX, _MISTAKE_PX, _LARGEST_PX = 56, 96, 224
_CLASSES = 3  # that lose most are named for each exported file
_SHEETS = 2  # a domain's classes stand in this many blocks, side by side where there is room

Rows = Sequence[Mapping[str, Any]]
Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Facts:
    """All that the report shows. Empty leaves a section out.

    Attributes:
        evaluation: content of reports/evaluation.json, with `classes` added. Shares in [0, 1], gains in points.
            `transfer`, `scratch` and `gain` have `seen`; `unseen` and the arm `article` may be missing or null.
        export: content of reports/export.json.
        transferability: content of reports/transferability.json.
        curve: content of reports/curve.json.
        seconds: a row per stage run: stage, seconds, peak_memory_mb, ran; of a stage's rows the last one counts.
        cost: by arm `pretraining`, which may be null, and `finetuning`: trainings, seconds, cpu_seconds,
            peak_memory_mb, energy_wh (null if not counted).
        curves: a row per evaluation while training: arm, seed, learning_rate, step, val_accuracy, val_loss, ...
        confusion: (classes, classes) counts, rows true, columns predicted; transfer, seen, all seeds together.
        per_class: a row per class and arm: class, arm, recall in [0, 1].
        projection: a row per picture: domain (a name, or "source" or "target"), label, x, y.
        samples: by domain, in the order shown: (label, pictures of (size, size, 3) uint8).
        mistakes: (true, predicted, probability, picture), worst first.
        disagreements: by exported file: (true, what Keras said, what the file said, difference, picture), worst first.
        insight: where the net looked, what it mixes up, and what fine-tuning did to its features.
        sources: (sentence, file, what): what comparisons and forecasts said of sources; the file lies beside this page.
        tuned: by arm, what a search over settings came to; its page lies beside this one.
        made_from: (what, which): git commit, data.
        credits: title, artist, licence, version.
        created: when, as shown.
    """

    title: str
    source_name: str
    target_name: str
    evaluation: Mapping[str, Any]
    export: Mapping[str, Any] = field(default_factory=dict)
    transferability: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[str, Any] = field(default_factory=dict)
    seconds: Rows = ()
    cost: Mapping[str, Any] = field(default_factory=dict)
    curves: Rows = ()
    confusion: NDArray[np.int64] | None = None
    per_class: Rows = ()
    projection: Rows = ()
    samples: Mapping[str, Sequence[tuple[str, Pictures]]] = field(default_factory=dict)
    mistakes: Sequence[tuple[str, str, float, NDArray[np.uint8]]] = ()
    disagreements: Mapping[str, Sequence[tuple[str, str, str, float, NDArray[np.uint8]]]] = field(default_factory=dict)
    insight: why.Insight | None = None
    sources: Sequence[tuple[str, str, str]] = ()
    tuned: Mapping[str, str] = field(default_factory=dict)
    credits: Sequence[Mapping[str, str]] = ()
    made_from: Sequence[tuple[str, str]] = ()
    settings_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


class Recall(NamedTuple):
    """One class; shares in [0, 1]."""

    label: str
    scratch: float
    transfer: float

    @property
    def difference(self) -> float:
        """Transfer minus scratch."""
        return self.transfer - self.scratch


class Confused(NamedTuple):
    """Pictures of class `actual` that were called `predicted`: how many, and which share of the class."""

    actual: str
    predicted: str
    times: int
    share: float


def render(facts: Facts) -> str:
    """The page, ready to be written as UTF-8."""
    text: str = _template().render(**_context(facts))
    # A file name that was no UTF-8 becomes a label with lone surrogates, which no file could take.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentence(facts: Facts) -> str:
    """The verdict on the seen test set in one sentence."""
    gain = facts.evaluation["gain"]["seen"]
    opening = {
        "paid": "Reuse paid",
        "hurt": "Reuse hurt here",
        "no difference measured": "No difference measured between reuse and training from scratch",
    }[outlook.verdict(gain)]
    return f"{opening}: pretraining on {facts.source_name} brings {facts.target_name} {gain_text(gain)} of accuracy."


def sorted_recalls(rows: Rows) -> list[Recall]:
    """Classes that have both recalls, the most helped first."""
    by_arm: dict[str, dict[str, float]] = {"transfer": {}, "scratch": {}}
    for row in rows:
        if row["arm"] in by_arm and row.get("recall") is not None:
            by_arm[row["arm"]][row["class"]] = row["recall"]
    transfer, scratch = by_arm["transfer"], by_arm["scratch"]
    both = [Recall(label, scratch[label], transfer[label]) for label in transfer if label in scratch]
    return sorted(both, key=lambda one: -one.difference)


def most_confused(counts: NDArray[np.int64] | None, labels: Sequence[str], most: int = 8) -> list[Confused]:
    """The commonest mix-ups, the commonest first."""
    if counts is None:
        return []
    wrong, totals = counts.copy(), counts.sum(axis=1)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(flat // len(wrong)), int(flat % len(wrong))) for flat in order]
    return [
        Confused(labels[row], labels[column], int(wrong[row, column]), float(wrong[row, column] / totals[row]))
        for row, column in pairs
        if wrong[row, column]
    ]


def percent(share: float | None, decimals: int = 1) -> str:
    """A share in [0, 1] as "57.5%"; a dash for none."""
    return "–" if share is None else f"{100 * share:.{decimals}f}%"


def gain_text(gain: Mapping[str, Any]) -> str:
    """A gain as "+12.3 points [10.1, 14.6]"."""
    low, high = gain["ci95"]
    return f"{_signed(gain['points'])} points [{_minus(low)}, {_minus(high)}]"


def score_text(score: Mapping[str, Any]) -> str:
    """A score as "57.5% [55.0, 60.1]"."""
    low, high = score["ci95"]
    return f"{percent(score['mean'])} [{100 * low:.1f}, {100 * high:.1f}]"


def size_text(bytes_: float) -> str:
    """Bytes as "1.4 MB" (decimal units)."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= size:
            return f"{bytes_ / size:.1f} {unit}"
    return f"{bytes_:.0f} B"


def time_text(seconds: float | None) -> str:
    """Seconds as "0.8 s", "42 s" or "3 min 20 s"."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _context(facts: Facts) -> dict[str, Any]:
    evaluation = facts.evaluation
    recalls = sorted_recalls(facts.per_class)
    confused = most_confused(facts.confusion, _labels(facts))
    seconds = {str(row["stage"]): row for row in facts.seconds}
    results = [
        (arm, name, {score: score_text(evaluation[arm][name][score]) for score in SCORES})
        for name in figures.SETS
        for arm in drawing.ARMS
        if evaluation.get(arm, {}).get(name)
    ]
    gains = {name: one for name in figures.SETS if (one := evaluation["gain"].get(name))}
    return {
        "facts": facts,
        "evaluation": evaluation,
        "labels": _labels_text(evaluation.get("labels_per_class")),
        "sentence": sentence(facts),
        "verdicts": {name: outlook.verdict(one) for name, one in gains.items()},
        "gains": gains,
        "results": results,
        "more_scores": _more_scores(evaluation),
        "comparisons": evaluation.get("comparisons") or [],
        "thresholds": _thresholds(evaluation),
        "groups": _groups(evaluation),
        "curve_texts": {name: _curve_texts(told) for name, told in (facts.curve.get("sets") or {}).items()},
        "outlook": outlook.told(facts.transferability, evaluation["gain"]),
        "scores": SCORES,
        "labels_count": len(_labels(facts)),
        "max_classes": figures.MAX_CLASSES,
        "recalls": recalls,
        "confused": confused,
        "stages": [(stage, seconds.get(stage)) for stage in dict.fromkeys((*STAGES, *seconds))],
        "total_seconds": sum(row["seconds"] for row in seconds.values()),
        "longest": max((row["seconds"] for row in seconds.values()), default=0) or 1,
        "costs": _costs(facts.cost),
        "files": facts.export.get("files") or {},
        "nets": variants.rows(facts.export),
        "nets_head": variants.HEAD,
        "sheets": {domain: _blocks(samples) for domain, samples in facts.samples.items() if samples},
        "mistakes": [(*told, _alone(picture)) for *told, picture in facts.mistakes],
        "disagreements": {
            name: [(*told, _alone(picture)) for *told, picture in rows] for name, rows in facts.disagreements.items()
        },
        "hardest_classes": export_figures.hardest_classes(facts.export.get("files") or {}, _labels(facts), _CLASSES),
        "insight": _insight(facts),
        "charts": _charts(facts, recalls),
    }


def _alone(picture: NDArray[np.uint8]) -> str:
    return drawing.sheet([[picture]], min(max(len(picture), _MISTAKE_PX), _LARGEST_PX))


def _more_scores(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Titles, and a row per arm and set: shares with their intervals, then errors as plain numbers; empty without."""
    titles = {name: title.format(evaluation.get("top_k")) for name, title in MORE_SCORES.items()}
    rows = []
    for name in figures.SETS:
        for arm in drawing.ARMS:
            scores = evaluation.get(arm, {}).get(name) or {}
            if all(one in scores for one in (*MORE_SCORES, *ERRORS)):
                cells = [score_text(scores[one]) for one in MORE_SCORES]
                rows.append((arm, name, cells + [f"{scores[one]['mean']:.3f}" for one in ERRORS]))
    return {"titles": [*titles.values(), *ERRORS.values()], "rows": rows} if rows else {}


def _costs(cost: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """(arm, cells): both trainings' processor time, how many there were and how long one took, memory, energy."""
    rows = []
    for arm in (arm for arm in drawing.ARMS if arm in cost):
        one, before = cost[arm]["finetuning"], cost[arm].get("pretraining")
        both = [each for each in (before, one) if each]
        energy = [each["energy_wh"] for each in both]
        cells = [
            time_text(before["cpu_seconds"]) if before else "none",
            time_text(one["cpu_seconds"]),
            str(one["trainings"]),
            time_text(one["seconds"] / max(one["trainings"], 1)),
            f"{max(each['peak_memory_mb'] for each in both):,} MB",
            "not counted" if None in energy else f"{sum(energy):.2f} Wh",
        ]
        rows.append((arm, cells))
    return rows


def _thresholds(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float]]]:
    """(set, threshold) of transfer."""
    return [
        (name, one)
        for name in figures.SETS
        for one in ((evaluation["transfer"].get(name) or {}).get("abstention") or {}).get("thresholds", ())
    ]


def _curve_texts(told: Mapping[str, Any]) -> list[str]:
    """What is read from the curve on one test set, sentence by sentence."""
    arms = [arm for arm in drawing.ARMS if arm in told and arm != "article"]
    said = [outlook.worth_in_labels(told.get("worth"))]
    said += [outlook.labels_to_reach(arm, one) for arm in arms for one in told[arm]["to_reach"]]
    return [text for text in [*said, outlook.foretold(told["transfer"].get("check"))] if text]


def _groups(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By arm the named groups of all sets together; empty if the data name none."""
    found = {
        arm: {
            group: one
            for name in figures.SETS
            for group, one in ((evaluation.get(arm, {}).get(name) or {}).get("groups") or {}).items()
        }
        for arm in drawing.ARMS
    }
    return {arm: groups for arm, groups in found.items() if groups}


def _insight(facts: Facts) -> str:
    names = {"source": facts.source_name, "target": facts.target_name}
    return why.render(facts.insight, names) if facts.insight else ""


def _charts(facts: Facts, recalls: list[Recall]) -> dict[str, Any]:
    charts: dict[str, Any] = {"accuracy": figures.accuracy(facts.evaluation), "gain": figures.gain(facts.evaluation)}
    if recalls:
        half = figures.MAX_CLASSES // 2
        shown = recalls if len(recalls) <= 2 * half else recalls[:half] + recalls[-half:]
        charts["recalls"] = figures.recalls([(one.label, one.scratch, one.transfer) for one in shown])
    if facts.confusion is not None and facts.confusion.sum():
        charts["confusion"] = figures.confusion(*worst(facts.confusion, _labels(facts)))
    for name, told in (facts.curve.get("sets") or {}).items():
        arms = {arm: told[arm] for arm in drawing.ARMS if arm in told}
        charts[f"labels_{name}"] = figures.labels_curve(name, facts.curve["labels"], arms)
    if groups := _groups(facts.evaluation):
        charts["groups"] = figures.groups(groups)
    sure = {arm: (facts.evaluation.get(arm, {}).get("seen") or {}).get("abstention") for arm in drawing.ARMS}
    if curves := {arm: one["curve"] for arm, one in sure.items() if one}:
        charts["abstention"] = figures.abstention(curves)
    if rows := _chosen(facts):
        charts["val_accuracy"] = figures.curves(rows, "val_accuracy", "accuracy on validation rows, %", 100)
        charts["val_loss"] = figures.curves(rows, "val_loss", "loss on validation rows")
    if directions := facts.transferability.get("transfer", {}).get("directions"):
        charts["directions"] = feature_figures.directions(directions, facts.source_name, facts.target_name)
    if layers := facts.transferability.get("layers"):
        charts["layers"] = feature_figures.layerwise(layers)
    told = facts.export.get("files") or {}
    if told and all("accuracy_ci95" in one and "latency_ms" in one for one in told.values()):
        charts["files"] = export_figures.trade(told, facts.export["keras"]["accuracy"], facts.export.get("runs", ""))
    if facts.projection:
        names = {"source": facts.source_name, "target": facts.target_name}
        rows = [{**row, "domain": names.get(row["domain"], row["domain"])} for row in facts.projection]
        charts["projection"] = feature_figures.projection(rows)
    return {name: chart for name, chart in charts.items() if chart}


def worst(counts: NDArray[np.int64], labels: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Share of each true class called each class; of very many classes only those with the most mistakes."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mistakes = counts.sum(axis=1) - counts.diagonal()
    kept = np.sort(np.argsort(-mistakes, kind="stable")[: figures.MAX_CLASSES])
    return shares[np.ix_(kept, kept)], [labels[index] for index in kept]


def _chosen(facts: Facts) -> list[Mapping[str, Any]]:
    """The curves at the learning rate that each arm kept; all of them where that is not known."""
    kept = facts.evaluation.get("learning_rate") or {}
    return [row for row in facts.curves if kept.get(row["arm"]) is None or row.get("learning_rate") == kept[row["arm"]]]


def _blocks(samples: Sequence[tuple[str, Pictures]]) -> list[tuple[list[str], int, str]]:
    """(labels, most pictures in a row, sheet) for each block of classes."""
    shown = samples[: figures.MAX_CLASSES]
    height = -(-len(shown) // _SHEETS)
    blocks = [shown[start : start + height] for start in range(0, len(shown), height)]
    return [
        (
            [label for label, _ in block],
            max(len(pictures) for _, pictures in block),
            drawing.sheet([pictures for _, pictures in block], _CELL_PX),
        )
        for block in blocks
    ]


def _labels(facts: Facts) -> list[str]:
    if facts.evaluation.get("classes"):
        return [str(label) for label in facts.evaluation["classes"]]
    count = 0 if facts.confusion is None else len(facts.confusion)
    return [str(index) for index in range(count)]


def _labels_text(labels_per_class: Any) -> str:
    if labels_per_class in (None, "all"):
        return "all labels"
    return f"{labels_per_class} label{'' if labels_per_class == 1 else 's'} per class"


def _signed(value: float) -> str:
    return _minus(value) if round(value, 1) < 0 else f"+{abs(value):.1f}"


def _minus(value: float) -> str:
    return f"{value:.1f}".replace("-", "−") if round(value, 1) else "0.0"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "percent": percent,
    "gain": gain_text,
    "size": size_text,
    "time": time_text,
    "points": lambda share: _signed(100 * share),
}
"""What the report's template, and one that extends it, says `value | name` for."""


@cache
def _template() -> Any:
    return page.template(page.read("report.html.j2"), FILTERS)
