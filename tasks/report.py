"""The results for people: a table on the terminal, the same in Prefect's UI, and the HTML report with pictures."""

import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import outlook, variants
from graft.core import settings as settings_file
from graft.core.errors import BadInput
from graft.core.report import Facts, render
from graft.core.sections import Settings
from graft.core.tune_page import verdict
from tasks import card, insight, results
from tasks.adapters import arrays, dvc, files, git
from tasks.workspace import HELD_OUT, ROLES, STAGES, Workspace

SAMPLES_PER_CLASS = 8
MISTAKES = 24
VERSIONS = ("tensorflow", "keras", "prefect", "dvc", "great-expectations", "ai-edge-litert", "numpy", "graft")


def write(workspace: Workspace, to: Path | None = None) -> Path:
    """Write the report from what the stages left; its path.

    Args:
        to: where; reports/report.html if nothing is said, and then reports/model_card.md is written, too.
    """
    path = (to or workspace.report).absolute()
    if to is None:
        settings = settings_file.load(workspace.params)
        text = card.write(workspace, settings, settings.data.target.name)
        with files.written_aside(workspace.card) as aside:
            aside.write_text(text, encoding="utf-8")
    text = render(facts(workspace))
    with files.written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def facts(workspace: Workspace) -> Facts:
    """All that the report shows.

    Raises:
        BadInput: a stage has not run yet.
    """
    settings = settings_file.load(workspace.params)
    evaluation = files.read_json(workspace.evaluation)
    classes = files.read_json(workspace.classes)
    records = [workspace.stage_record(stage) for stage in STAGES]
    return Facts(
        title=f"{settings.data.source.name} to {settings.data.target.name}",
        source_name=settings.data.source.name,
        target_name=settings.data.target.name,
        evaluation=evaluation | {"classes": classes["target"]},
        export=files.read_json(workspace.export_report),
        transferability=files.read_json(workspace.transferability),
        curve=files.read_json(workspace.curve_report) if workspace.curve_report.exists() else {},
        seconds=[files.read_json(path) for path in records if path.exists()],
        cost=results.costs(workspace, settings),
        curves=results.curves(workspace, "finetune"),
        confusion=results.confused(workspace, classes["target"]),
        per_class=[results.numbers(row) for row in results.read_csv(workspace.per_class)],
        projection=[results.numbers(row) for row in results.read_csv(workspace.projection)],
        samples={getattr(settings.data, role).name: _samples(workspace, role, classes[role]) for role in ROLES},
        mistakes=_mistakes(workspace, classes["target"]),
        disagreements=_disagreements(workspace, classes["target"]),
        insight=insight.read(workspace, classes["target"]),
        sources=_sources(workspace),
        tuned=_tuned(workspace),
        credits=results.credits(settings),
        made_from=_made_from(workspace, settings),
        settings_yaml=workspace.params.read_text(encoding="utf-8"),
        versions={name: importlib.metadata.version(name) for name in VERSIONS},
        created=_measured_at(workspace).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _sources(workspace: Workspace) -> list[tuple[str, str, str]]:
    """What `graft compare` and `graft forecast` said last."""
    found = []
    for report, page, key, what in (
        (workspace.compare_report, workspace.compare_page, "sentence", "The comparison"),
        (workspace.forecast_report, workspace.forecast_page, "advice", "The forecast"),
    ):
        if report.exists() and page.exists():
            found += [(one[key], page.name, what) for one in files.read_json(report)["targets"]]
    return found


def _tuned(workspace: Workspace) -> dict[str, str]:
    if not (workspace.tune_report.exists() and workspace.tune_page.exists()):
        return {}
    return {arm: verdict(told) for arm, told in files.read_json(workspace.tune_report)["arms"].items()}


def _made_from(workspace: Workspace, settings: Settings) -> list[tuple[str, str]]:
    """(what, which): the commit, and both domains by DVC's hashes; without what is not known."""
    found = []
    if told := git.commit(workspace.root):
        name, changed = told
        found.append(("git commit", f"{name}{', with changes that are not committed' if changed else ''}"))
    try:
        hashes = dvc.hashes(workspace.root)
    except BadInput:  # a stage that was started by hand before DVC knew any
        hashes = {}
    for role in ROLES:
        if md5 := hashes.get(f"data/{role}"):
            found.append((f"{role} data, {getattr(settings.data, role).name}", f"md5 {md5}"))
    return found


def _measured_at(workspace: Workspace) -> datetime:
    """When the last stage wrote its results: the same results give the same page."""
    return datetime.fromtimestamp(workspace.export_report.stat().st_mtime, UTC)


def show(workspace: Workspace, console: Any) -> None:
    """Print the results, the exported files and where the report is."""
    from rich.table import Table

    evaluation, export = files.read_json(workspace.evaluation), files.read_json(workspace.export_report)
    settings = settings_file.load(workspace.params)
    source = [f"{_share(value)} on {name}" for name, value in evaluation["source"]["accuracy"].items() if value]
    console.print(f"\nsource {settings.data.source.name}: accuracy {', '.join(source)}", highlight=False)
    labels = evaluation["labels_per_class"]
    console.print(
        f"target {settings.data.target.name}: {labels} labels per class, {len(evaluation['seeds'])} seeds, "
        f"{evaluation['steps']} steps",
        highlight=False,
    )
    table = Table("arm", "set", "accuracy %", "macro recall %", "macro-F1 %", box=None, pad_edge=False)
    for row in results.rows(workspace):
        table.add_row(*row)
    console.print(table, highlight=False)
    for name, gain in evaluation["gain"].items():
        if gain:
            told = f"[bold]{_points(gain)}[/] (transfer - scratch): {outlook.said_of(gain)}"
            console.print(f"gain on {name}: {told}", highlight=False, soft_wrap=True)
    console.print(_features(workspace, settings), highlight=False, markup=False, soft_wrap=True)
    exported = Table("file", "bytes", "accuracy %", "agreement %", "ms", "MB", "", box=None, pad_edge=False)
    for name, one in export["files"].items():
        exported.add_row(
            name,
            f"{one['bytes']:,}",
            f"{100 * one['accuracy']:.1f}",
            f"{100 * one['agreement']:.2f}",
            f"{one['latency_ms']['median']:.2f}",
            "-" if one.get("peak_memory_mb") is None else f"{one['peak_memory_mb']:.1f}",
            "passed" if one["passed"] else "refused",
        )
    console.print()
    console.print(exported, highlight=False)
    if rows := variants.rows(export):
        nets = Table(*variants.HEAD, box=None, pad_edge=False)
        for row in rows:
            nets.add_row(*row)
        console.print()
        console.print(nets, highlight=False)
        prefer = settings.export.prefer
        how = f"{prefer.name} within {prefer.within_points:g} points of the best"
        console.print(f"\nruns unless another is named: {export['runs'] or 'none'} ({how})", highlight=False)
    console.print(f"\nreport: {workspace.report}", highlight=False, soft_wrap=True)


def _features(workspace: Workspace, settings: Settings) -> str:
    """All scores and distances of the chosen pair in one line."""
    measured, source, target = files.read_json(workspace.transferability), settings.data.source, settings.data.target
    scores, distances = (
        ", ".join(f"{row.title} {row.transfer} ({row.scratch})" for row in outlook.rows(measured, kind))
        for kind in ("scores", "distances")
    )
    return (
        f"features on {target.name}, after learning {source.name} (before): {scores}; "
        f"{source.name} to {target.name}: {distances}"
    )


def markdown(workspace: Workspace) -> str:
    """The results table, and what the features said, for Prefect's UI."""
    evaluation = files.read_json(workspace.evaluation)
    lines = ["| arm | set | accuracy % | macro recall % | macro-F1 % |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in results.rows(workspace)]
    gains = [
        f"**Gain on {name}: {_points(gain)}**: {outlook.said_of(gain)}"
        for name, gain in evaluation["gain"].items()
        if gain
    ]
    return "\n".join([*lines, "", *gains, "", _features(workspace, settings_file.load(workspace.params))])


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(gain: dict[str, Any]) -> str:
    low, high = gain["ci95"]
    return f"{gain['points']:+z.1f} points, 95 % interval {low:+z.1f} to {high:+z.1f}"


def _samples(workspace: Workspace, role: str, classes: list[str]) -> list[tuple[str, list[Any]]]:
    """The first training pictures of each class: the report shows no test rows but the mistakes."""
    split = arrays.read(workspace.packed(role, "train"))
    return [
        (
            name,
            [np.asarray(split.images[row]) for row in np.flatnonzero(split.labels == index)[:SAMPLES_PER_CLASS]],
        )
        for index, name in enumerate(classes)
    ]


def _mistakes(workspace: Workspace, classes: list[str]) -> list[tuple[str, str, float, Any]]:
    """What the transfer arm got wrong with most confidence, each picture once."""
    import pyarrow.parquet as pq

    filters = [("arm", "=", "transfer"), ("set", "=", "seen")]
    answers = pq.read_table(workspace.predictions, filters=filters).to_pylist()
    wrong = sorted((one for one in answers if one["predicted"] != one["label"]), key=lambda one: one["probability"])
    surest = {one["row"]: one for one in wrong}  # of the seeds that got a picture wrong, the surest one
    worst = sorted(surest.values(), key=lambda one: -one["probability"])[:MISTAKES]
    images = arrays.read(workspace.held_out("target", "test")).images
    return [
        (classes[one["label"]], classes[one["predicted"]], one["probability"], np.asarray(images[one["row"]]))
        for one in worst
    ]


def _disagreements(workspace: Workspace, classes: list[str]) -> dict[str, list[tuple[str, str, str, float, Any]]]:
    """By exported file, the pictures on which it and the model part most."""
    held_out = [path for split in HELD_OUT if (path := workspace.held_out("target", split)).exists()]
    images = arrays.read_all(held_out).images
    return {
        name: [
            (
                *(classes[one[who]] for who in ("label", "keras", "file")),
                one["difference"],
                np.asarray(images[one["row"]]),
            )
            for one in file.get("disagreements", ())
        ]
        for name, file in files.read_json(workspace.export_report)["files"].items()
    }
