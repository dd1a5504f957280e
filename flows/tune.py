"""tune: settings are tried, a Prefect task per trial; the best and the defaults then meet on draws that had no say."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from prefect import flow, futures, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows import artifacts, engines, show
from flows.engines import On
from flows.spread import Cluster
from flows.train import Events, bring, failed, plan
from graft.core.errors import GateRefused, GraftError, message
from graft.core.search import Values
from tasks import tune_jobs, tuned, tuning
from tasks.adapters import capped, files, lock
from tasks.adapters.study import Study, Trial
from tasks.stage import keep_to_itself
from tasks.trials import OnScore
from tasks.tune import Job
from tasks.tuning import Plan
from tasks.workspace import Workspace

PATIENCE_S = 3600.0  # of whoever waits while another brings the workspace up to date
POLL_S = 0.3
PRUNED, FAILED = "Pruned", "Failed"

Trials = Annotated[int, Field(ge=0, le=10_000)]
AtOnce = Annotated[int, Field(ge=1, le=64)]
Wanted = Literal["both", "transfer", "scratch"]


@flow(name="tune", log_prints=False)
def tune(trials: Trials = 0, arms: Wanted = "both", workers: AtOnce = 1, on: On = "local") -> Any:
    """Search for better settings, as search.yaml says; params.yaml stays as it is.

    Args:
        trials: How many of each arm. 0 is what search.yaml says.
        arms: Which nets are searched for; scratch as often as transfer is what keeps their comparison fair.
        workers: Trials at the same time. A second run shares the search, too.
        on: Who trains: processes of this machine, or workers of a Dask or a Ray cluster.
    """
    try:
        place = Workspace.find()
        keep_to_itself(place)
        engines.require(on)
        planned = Plan.of(place, trials)
        if problem := _bring(place):
            return problem
        planned.check()
        studies = {arm: planned.study(arm) for arm in tuning.arms_of(arms)}
        with _crew(planned, workers, on) as crew:
            report = tuned.write(planned, studies, _searched(planned, studies, crew))
        artifacts.of_search(place)
        return Completed(message="; ".join(tuned.sentences(report)))
    except GraftError as error:
        return failed(error)


def _bring(place: Workspace) -> State[Any] | None:
    """Every stage that trials build on; the state of the one that failed."""
    with lock.waited_for(place.lock, PATIENCE_S):
        return bring(place, plan(None, "pretrain"), set())[0]


@dataclass(frozen=True)
class Crew:
    """Who measures trials: processes of this machine, or a cluster's workers; so many at the same time."""

    planned: Plan
    workers: int
    cluster: Cluster | None

    def measured(self, study: Study, job: Job, heard: OnScore, times: float = 1.0) -> list[float]:
        """Macro-F1 in [0, 1] on each fold of each of the job's draws. Raises as `Plan.measured`."""
        if self.cluster is None:
            return self.planned.measured(job, self.workers, heard, Events(job.name), times)
        found: list[float] = []

        def on_value(value: float) -> bool:
            found.append(value)
            return heard(sum(found) / len(found), len(found))

        one = tune_jobs.due(self.planned, study.name, job, self.cluster.send, times)
        if not self.cluster.run(one, on_value, self.planned.over.is_set):
            if self.planned.over.is_set():
                raise capped.Interrupted
            raise capped.Stopped("it does worse than others did after as many folds")
        return [float(value) for value in files.read_json(one.into / one.last)]


@contextmanager
def _crew(planned: Plan, workers: int, on: On) -> Iterator[Crew]:
    if on == "local":
        yield Crew(planned, workers, None)
        return
    with Cluster(on, planned.place.private / "engine") as cluster:
        yield Crew(planned, workers, cluster)


def _searched(planned: Plan, studies: dict[str, Study], crew: Crew) -> dict[str, dict[str, list[float]]]:
    """Search for every arm; by arm, how the best and the defaults compare. Whatever ends this ends what it started."""
    try:
        for arm, study in studies.items():
            _search(planned, study, arm, crew)
        return {arm: _compare(planned, study, arm, crew) for arm, study in studies.items()}
    finally:
        planned.over.set()  # threads that wait for a trial would keep an interrupted command alive


def _search(planned: Plan, study: Study, arm: str, crew: Crew) -> None:
    """Take trial after trial until as many as are wanted have ended, here or in another worker."""
    going: list[Any] = []
    while True:
        share, trial = study.take() if len(going) < crew.workers else ("others at work", None)
        if trial:
            planned.require_same()
            going.append(_trial(planned, study, arm, trial, crew).submit())
        elif share == "done" and not going:
            return
        elif going:
            going = list(futures.wait(going, timeout=POLL_S).not_done)
        else:
            time.sleep(POLL_S)


def _trial(planned: Plan, study: Study, arm: str, taken: Trial, crew: Crew) -> Any:
    """The task that measures a trial."""
    name = f"{arm}-{taken.number}"
    folds = planned.search.folds * planned.search.seeds

    @task(name="trial", task_run_name=name, retries=0, persist_result=False)
    def trial() -> State[Any]:
        get_run_logger().info("%s: %s", name, dict(taken.values))
        job = planned.job(study, name, arm, taken.values, planned.seeds, str(taken.first))
        state = _measured(taken, name, lambda: crew.measured(study, job, heard))
        planned.forget(job)
        return state

    def heard(mean: float, done: int) -> bool:
        return taken.report(mean, done) and done < folds

    return trial


def _measured(taken: Trial, name: str, work: Callable[[], list[float]]) -> State[Any]:
    """Do the work and tell the study how it ended."""
    show.current.started(name)
    begun, how = time.monotonic(), "interrupted"
    try:
        found = work()
        value = sum(found) / len(found)
        taken.complete(value)
        how = f"macro-F1 {100 * value:.1f} %"
        return Completed(message=how)
    except capped.Stopped as stopped:
        taken.prune()
        how = "pruned"
        return Completed(name=PRUNED, message=str(stopped))
    except GraftError as error:
        taken.fail(message(error))
        how = f"failed: {message(error)}"
        return Failed(name=FAILED, message=message(error))
    except Exception as error:
        how = f"failed: {type(error).__name__}"
        taken.fail(type(error).__name__)
        raise
    finally:
        show.current.ended(name, f"{how}, {time.monotonic() - begun:.0f} s")


def _compare(planned: Plan, study: Study, arm: str, crew: Crew) -> dict[str, list[float]]:
    """By `best` and `defaults`, what each comes to on every fresh draw.

    Raises:
        GateRefused: no trial ended with a value, or one of the two cannot be measured.
    """
    best = tuned.best(study)
    sides: dict[str, Values] = {"best": best.values, "defaults": study.facts["defaults"]}
    going: dict[str, Any] = {}
    for which, values in sides.items():
        if len(going) == crew.workers:
            next(iter(going.values())).wait()
        going[which] = _fresh(planned, study, arm, which, values, crew).submit()
    found = {}
    for which, future in going.items():
        future.wait()
        if not future.state.is_completed():
            raise GateRefused(f"{arm}, {which} on fresh draws: {future.state.message}")
        found[which] = future.state.result()
    return found


def _measured_whole(crew: Crew, study: Study, job: Job, times: float) -> list[float]:
    return crew.measured(study, job, lambda mean, done: False, times)


def _fresh(planned: Plan, study: Study, arm: str, which: str, values: Values, crew: Crew) -> Any:
    """The task that measures settings on draws which had no say."""
    name = f"{arm}-{which}"

    @task(name="fresh draws", task_run_name=name, retries=0, persist_result=False)
    def fresh() -> Any:
        show.current.started(name)
        how = "interrupted"
        try:
            found = planned.on_fresh(study, which, values, partial(_measured_whole, crew, study))
            how = f"macro-F1 {100 * sum(found) / len(found):.1f} % on fresh draws"
            return found
        except GraftError as error:
            how = "failed"
            return failed(error)
        finally:
            show.current.ended(name, how)

    return fresh
