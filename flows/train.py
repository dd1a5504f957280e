"""train: ingest > validate > extract > pretrain > finetune > evaluate > curve > export, a Prefect task per stage."""

import os
from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed

from flows import artifacts, engines, show
from flows.engines import On
from graft.core import settings as settings_file
from graft.core.errors import EnvironmentProblem, GraftError, UsageError, one_line
from graft.core.sections import Settings
from tasks import ahead, curve, finetune_jobs, ingest_jobs, report, shard_jobs
from tasks.adapters import dvc, lock
from tasks.adapters.files import remove_leftovers
from tasks.choices import Choices
from tasks.fetch import origins_changed
from tasks.ingest import fingerprints
from tasks.jobs import Due, Send
from tasks.workspace import STAGES, Workspace

Stage = Literal["ingest", "validate", "extract", "pretrain", "finetune", "evaluate", "curve", "export"]

REFUSED, UNAVAILABLE, CRASHED = "Refused", "Unavailable", "Crashed"
SPREAD = {
    "ingest": "fetch pictures",
    "validate": "measure pictures",
    "extract": "decode pictures",
    "finetune": "train seeds",
    "curve": "train the curve",
}
"""Stages whose work may be done by an engine's workers, and what it is called."""
EXIT_CODES = {REFUSED: 1, UNAVAILABLE: 3, CRASHED: 3}
"""A failed run's state name says who can mend it, and is the command's exit code."""


@flow(
    name="train",
    description="Reuse the source to learn the target; prove the gain; export.",
    log_prints=False,
)
def train(workspace: str = ".", from_stage: Stage | None = None, until: Stage | None = None, on: On = "local") -> Any:
    """Bring every stage up to date.

    Args:
        workspace: folder with params.yaml and dvc.yaml.
        from_stage: run this stage again even if nothing changed, and leave earlier ones as they are.
        until: stop after this stage.
        on: who fetches, measures and decodes pictures and trains what finetune and curve compare: processes of this
            machine, or workers of a Dask or a Ray cluster.

    Returns:
        A Completed state, or a Failed one named Refused (bad input, gate) or Unavailable (environment).
    """
    try:
        place = Workspace.find(Path(workspace))
        choices = Choices.of(settings_file.load(place.params))
        engines.require(on)
        with lock.held(place.lock):
            return _run(place, choices, from_stage, until, on)
    except GraftError as error:
        return failed(error)


def start(workspace: Path, from_stage: str | None, until: str | None, on: On = "local") -> tuple[int, str]:
    """Run the flow in this process: the exit code and, if it is not 0, the one line that says why."""
    return ended(lambda: train(str(workspace), from_stage, until, on, return_state=True))


def ended(run: Callable[[], Any]) -> tuple[int, str]:
    """The same of any flow, which `run` runs to its last state."""
    try:
        state: Any = run()
    except (RuntimeError, httpx.HTTPError) as error:  # before the run exists, Prefect's client has nowhere to tell
        server = os.environ.get("PREFECT_API_URL", "the temporary one")
        return (
            3,
            f"the Prefect server ({server}) does not answer: {one_line(str(error))}; start it, or see graft doctor",
        )
    if state.is_completed():
        return 0, ""
    return EXIT_CODES.get(state.name, 1), state.message or f"the run ended {state.name}; its log is in Prefect"


def failed(error: GraftError) -> State[Any]:
    """The state that a refused run ends in: one line, no traceback. What was killed is Crashed: it may start again."""
    if isinstance(error, dvc.Killed):
        return Crashed(name=CRASHED, message=str(error))
    name = UNAVAILABLE if error.exit_code == EnvironmentProblem.exit_code else REFUSED
    return Failed(name=name, message=str(error))


def _run(place: Workspace, choices: Choices, first: str | None, last: str | None, on: On) -> State[Any]:
    planned = plan(first, last)
    remove_leftovers(place.written)
    forced = {first} if first else set()
    if "ingest" in planned and place.origins_record.exists():
        forced |= {"ingest"} if origins_changed(place, fingerprints(choices)) else set()
    problem, worked = bring(place, planned, forced, on=on)
    if problem:
        return problem
    if "export" in planned:
        if worked or not place.report.exists():
            report.write(place)
        artifacts.of_run(place)
    return Completed(message=f"{len(planned)} stages up to date")


def bring(
    place: Workspace, planned: Sequence[str], forced: Set[str], pull: bool = False, on: On = "local"
) -> tuple[State[Any] | None, bool]:
    """Bring the stages up to date, a task each.

    Args:
        forced: run these even if nothing changed.
        pull: take what others made from the store.
        on: who fetches, measures and decodes pictures and trains what finetune and curve compare.

    Returns:
        The state of the stage that failed, if one did; and whether any had something to do.
    """
    stale, worked = dvc.stale(place.root), False
    for name in planned:
        due = worked or name in stale or name in forced
        if on != "local" and due and name in SPREAD and (name in forced or name in dvc.stale(place.root)):
            _spread(place, settings_file.load(place.params), name, on)
        state = STAGE_TASKS[name](str(place.root), due=due, force=name in forced, pull=pull, return_state=True)
        if not state.is_completed():
            ended = Crashed if state.is_crashed() else Failed
            return ended(name=state.name, message=state.message), worked
        if name in ("ingest", *shard_jobs.WORK):
            ahead.remove(place, name)
        worked = worked or state.message != "up to date"
    return None, worked


def _spread(place: Workspace, settings: Settings, stage: str, on: On) -> None:
    """Have the stage's work done by an engine's workers; the stage finds it done."""
    from flows.spread import spread  # which reports as this module does

    if find := _due(place, settings, stage):
        spread(SPREAD[stage], on, place.private / "engine", find)


def _due(place: Workspace, settings: Settings, stage: str) -> Callable[[Send], Iterable[Due]] | None:
    """What finds the jobs of a stage; None if there cannot be any."""
    if stage == "ingest":
        parts = ingest_jobs.wanted(place, settings)
        return partial(ingest_jobs.due, parts) if parts else None
    if stage == "finetune":
        return partial(finetune_jobs.due, place, settings, finetune_jobs.kept_of(place, settings))
    if stage == "curve":
        kept = curve.kept_of(place, settings) if settings.curve.enabled else None
        return partial(finetune_jobs.curve_due, place, settings, kept) if kept else None
    return partial(shard_jobs.due, settings, stage, shard_jobs.wanted(place, settings, stage))


def plan(first: str | None, last: str | None) -> list[str]:
    """The stages from `first` to `last`, both included.

    Raises:
        UsageError: `last` comes before `first`.
    """
    start = STAGES.index(first) if first else 0
    end = STAGES.index(last) if last else len(STAGES) - 1
    if end < start:
        raise UsageError(f"--until {last} comes before --from {first}")
    return list(STAGES[start : end + 1])


def _stage(name: str) -> Any:
    @task(name=name, task_run_name=name, retries=0, persist_result=False)
    def bring_up_to_date(root: str, due: bool, force: bool, pull: bool) -> State[Any]:
        show.current.started(name)
        try:
            outcome = dvc.Outcome(name, "up to date")
            if due:
                events = Events(name)
                outcome = dvc.bring_up_to_date(Path(root), name, force, events, get_run_logger().info, pull)
        except GraftError as error:
            show.current.ended(name, "failed")
            artifacts.of_failed_stage(name, Workspace(Path(root)))
            return failed(error)
        show.current.ended(name, outcome.what)
        artifacts.of_stage(name, Workspace(Path(root)))
        return Completed(message=outcome.what)

    return bring_up_to_date


class Events:
    """Progress of a stage: to the terminal at once, to Prefect's page every whole percent."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifacts: dict[str, Any] = {}
        self._percent: dict[str, int] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        what, done, total = str(event["what"]), int(event["done"]), max(1, int(event["total"]))
        show.current.progressed(what, done, total)
        percent = 100 * done // total
        if what not in self._artifacts:
            self._artifacts[what] = create_progress_artifact(float(percent), description=what)
        elif percent > self._percent[what]:
            update_progress_artifact(self._artifacts[what], float(percent))
        self._percent[what] = percent


STAGE_TASKS = {name: _stage(name) for name in STAGES}
