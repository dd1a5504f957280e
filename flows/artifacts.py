"""What a person looks at beside a run and its tasks in Prefect's pages: tables, pictures, links.

They are to look at, and nothing depends on them: one that cannot be made is a warning in the run's log, no more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from graft.core.advice import Advice
from graft.core.comparison import Comparison, points
from graft.core.errors import one_line
from graft.hub.releases import Held
from tasks import pictures, report, tables, tuned
from tasks.pages import Pages
from tasks.workspace import Workspace


def of_stage(stage: str, place: Workspace) -> None:
    """Attach to the task at hand what its stage made."""
    with _dispensable(stage):
        STAGES.get(stage, _nothing)(place)


def of_failed_stage(stage: str, place: Workspace) -> None:
    """Attach to the task at hand what its stage left though it failed; of the others, what lies there is older."""
    with _dispensable(stage):
        if stage == "validate" and place.validation.exists():
            _validate(place)


def of_run(place: Workspace) -> None:
    """Attach to the run the results' table and a link to the report."""
    with _dispensable("report"):
        create_markdown_artifact(report.markdown(place), key="results", description="What reuse gained")
        _link(report_address(place), "report", "the report", "Pictures and plots")


def of_search(place: Workspace) -> None:
    """Attach to the run what a search over settings found: every trial, the verdict and a link to its page."""
    with _dispensable("tune"):
        create_table_artifact(tables.trials(place), key="trials", description="Every trial of each arm")
        create_markdown_artifact(tuned.markdown(place), key="settings", description="The best settings found")
        _link(_shown(place, place.tune_page), "tune", "the search's page", "History, importance, trials")


def of_gate(verdict: dict[str, Any], against: str) -> None:
    """Attach to the task at hand what was asked of the challenger, and what was found."""
    with _dispensable("gate"):
        create_table_artifact(tables.checks(verdict), key="gate", description=f"The challenger against {against}")


def of_release(held: Held, place: Workspace) -> None:
    """Attach to the task at hand what the release is called, how to get it, and its report."""
    told = held.receipt
    name = f"{told.name}@{told.version}"
    text = f"`{name}`\n\n```\ngraft show {name}\ngraft pull {name}\ngraft predict {name} picture.jpg\n```\n"
    with _dispensable("release"):
        text += f"\n[How it was measured]({report_address(place)})\n"
        published = f"{name}, published {told.published.at:%Y-%m-%d %H:%M} UTC"
        create_markdown_artifact(text, key="release", description=published)


def of_comparison(place: Workspace, compared: Sequence[Comparison]) -> None:
    """Attach to the task at hand which source to take for each target, and a link to the page."""
    with _dispensable("comparison"):
        for one in compared:
            rows = [
                {"source": each.source, "mean gain": points(each.gain), "verdict": each.verdict}
                for each in one.standings
            ]
            create_table_artifact(rows, key="sources", description=one.sentence)
        _link(_shown(place, place.compare_page), "comparison", "the comparison", "Heat map, every cell")


def of_forecast(place: Workspace, said: Sequence[Advice]) -> None:
    """Attach to the task at hand what is foretold, and a link to the page."""
    with _dispensable("forecast"):
        lines = "\n".join(f"- {one.sentence}" for one in said)
        create_markdown_artifact(lines, key="forecast", description="What reuse would gain")
        _link(
            _shown(place, place.forecast_page), "forecast-page", "the forecast", "Intervals, warnings, past forecasts"
        )


def of_question(text: str) -> None:
    """Attach to the run what a person is asked; the page of a suspended run shows it in its form alone."""
    with _dispensable("question"):
        create_markdown_artifact(text, key="question", description="To answer, press Resume on the run's page")


def report_address(place: Workspace) -> str:
    """Where the report of the run at hand can be read: a page that stays, or the file where there is none."""
    try:
        return _shown(place, place.report)
    except OSError as error:  # a full disk
        get_run_logger().warning("the report is not kept as a page: %s", one_line(str(error)))
        return place.report.as_uri()


def _ingest(place: Workspace) -> None:
    create_table_artifact(tables.pictures(place), key="pictures", description="Pictures of each class and split")


def _validate(place: Workspace) -> None:
    create_table_artifact(tables.findings(place), key="data-gate", description="What the data gate found")
    if place.validation_page.exists():
        _link(_shown(place, place.validation_page), "validation", "the validation page", "With pictures")


def _pretrain(place: Workspace) -> None:
    _picture(place, "pretrain-curves", pictures.learning(place, "pretrain"), "How the source was learned")


def _finetune(place: Workspace) -> None:
    _picture(place, "finetune-curves", pictures.learning(place, "finetune"), "How the target was learned, each arm")


def _evaluate(place: Workspace) -> None:
    create_table_artifact(tables.results(place), key="metrics", description="Each arm, with 95 % intervals")
    _picture(place, "confusion", pictures.confusion(place), "True classes (rows) and what transfer called them, in %")


def _curve(place: Workspace) -> None:
    drawn = pictures.labels(place)
    _picture(place, "labels", drawn, "Accuracy of each arm over labels per class, on seen groups")


def _export(place: Workspace) -> None:
    create_table_artifact(tables.exported(place), key="files", description="The files, run on raw test pictures")


STAGES: dict[str, Callable[[Workspace], None]] = {
    "ingest": _ingest,
    "validate": _validate,
    "pretrain": _pretrain,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "curve": _curve,
    "export": _export,
}


def _nothing(place: Workspace) -> None:
    """For a stage that leaves nothing to look at."""


def _link(address: str, key: str, text: str, description: str) -> None:
    create_link_artifact(address, link_text=text, key=key, description=description)


def _picture(place: Workspace, key: str, drawn: str, description: str) -> None:
    """Show an SVG picture; without a platform there is nowhere that Prefect's pages could fetch it from."""
    pages = _pages(place)
    if pages and drawn:
        create_image_artifact(pages.keep(f"{key}.svg", drawn.encode()), key=key, description=description)


def _shown(place: Workspace, file: Path) -> str:
    pages = _pages(place)
    return pages.keep(file.name, file.read_bytes()) if pages else file.as_uri()


def _pages(place: Workspace) -> Pages | None:
    return Pages.of(place, str(flow_run.id), get_current_settings().api.url)


@contextmanager
def _dispensable(what: str) -> Iterator[None]:
    """A block that may fail in any way, for the sake of the run around it."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("%s: not all can be shown: %s: %s", what, type(error).__name__, one_line(str(error)))
