"""retrain: what is new > own worktree > every stage > gate > publish > ask or promote > report.

What others see is written in an order in which doing it twice is doing it once: a run that was killed is taken up by
the next, at what had not ended.
"""

import io
import json
import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed

from flows import artifacts, engines, question, turn
from flows.engines import On
from flows.form import KEEP, AtEnd, Domain, Form, Labels, Method, Origin, Seeds, Uri
from flows.question import Question
from flows.steps import step
from flows.train import bring, failed
from graft.core import settings as settings_file
from graft.core.errors import BadInput, EnvironmentProblem, GateRefused, GraftError
from graft.hub import cache, names, pointer, releases, stages, store
from graft.hub.bucket import Bucket
from graft.hub.names import Reference
from tasks import challenge, fetch, publish, remote, report, tables, tidy
from tasks.adapters import files, lock, webhook, worktree
from tasks.adapters.history import History
from tasks.choices import Choices
from tasks.stage import keep_to_itself
from tasks.workspace import STAGES, Workspace

UNCHANGED, KEPT, PUBLISHED, PROMOTED = "Unchanged", "Not promoted", "Published", "Promoted"
PATIENCE_S = 900  # of whoever waits while another publishes


class Job(NamedTuple):
    """A run: the workspace it was started in, its worktree, the model, and from what it would be made."""

    place: Workspace
    work: Workspace
    model: str
    inputs: dict[str, Any]
    at_end: AtEnd
    on: On


def _tell_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    said = f"{flow_run.name}: {state.name}: {state.message or 'its log says why'}"
    webhook.tell("failure", said, run=str(flow_run.id))


@flow(name="retrain", log_prints=False, on_failure=[_tell_failure], on_crashed=[_tell_failure])
def retrain(
    target: Domain = "",
    target_origin: Origin = KEEP,
    target_uri: Uri = "",
    source: Domain = "",
    source_origin: Origin = KEEP,
    source_uri: Uri = "",
    labels_per_class: Labels = "",
    method: Method = KEEP,
    seeds: Seeds = 0,
    at_end: AtEnd = "ask",
    on: On = "local",
) -> Any:
    """Train on what is new, in a worktree of its own; publish what passes the gate; then ask a person, or promote.

    Args:
        target: Domain to learn, like plants; names the model too. Empty is what params.yaml says.
        target_origin: Where the target's pictures come from.
        target_uri: Their place, like s3://bucket/plants or /data/plants, for origins that take one.
        source: Domain to reuse, like animals. Empty is what params.yaml says.
        source_origin: Where the source's pictures come from.
        source_uri: Their place.
        labels_per_class: A number, or all. Empty is what params.yaml says.
        method: How the backbone is adapted to the target.
        seeds: How many seeds are compared. 0 is what params.yaml says.
        at_end: ask waits for a person; promote if better moves the last stage; never leaves it where it is.
        on: Who measures pictures and trains: processes of this machine, or workers of a Dask or a Ray cluster.
    """
    values = dict(locals())
    try:
        place, me = Workspace.find(), turn.mine()
        keep_to_itself(place)
        turn.announce(me)
        _use_store()
        if place.question(str(me.id)).exists():
            return _answered(place, me)
        form = Form.of(values)
        engines.require(form.on)
        if form.at_end == "ask" and me.deployment_id is None:
            raise BadInput(
                "form.at_end is ask, and only a run that a worker started can wait; choose promote if better, or never"
            )
        if why := turn.needless(me):
            return Completed(name=turn.SKIPPED, message=why)
        turn.wait(me)
        with worktree.taken(place) as folder:
            return _run(_begin(place, folder, form), me)
    except GraftError as error:
        return failed(error)


def _use_store() -> None:
    """The workspace's store, for the worktree too."""
    os.environ |= store.environment(store.known())


def _begin(place: Workspace, folder: Path, form: Form) -> Job:
    """The worktree: the workspace's commit with this form's settings, and what the last run left."""
    worktree.reset(place, folder, History(place, "").head())
    work = Workspace(folder)
    settings_file.set_values(work.params, form.assignments(), Choices.of)
    if settings_file.load(work.params).retrain.curve:
        settings_file.set_values(work.params, ["curve.enabled=true"], Choices.of)
    model = names.model(settings_file.load(work.params).data.target.name.lower())
    history = History(place, model)
    history.begin(folder, history.tip())
    return Job(place, work, model, _fetch(str(folder), history.code()), form.at_end, form.on)


@step
def _fetch(root: str, code: str) -> dict[str, Any]:
    work = Workspace(Path(root))
    return fetch.look(work, Choices.of(settings_file.load(work.params)), code)._asdict()


def _run(job: Job, me: FlowRun) -> State[Any]:
    before = files.read_json(job.place.last_run(job.model)) if job.place.last_run(job.model).exists() else {}
    changed = [name for name, value in job.inputs.items() if before.get("inputs", {}).get(name) != value]
    if not changed and before["at_end"] == job.at_end:
        return Completed(name=UNCHANGED, message=f"nothing changed since {before['at']}: {before['outcome']}")
    get_run_logger().info("new: %s", ", ".join(changed) or "what to do at the end")
    remote.connect(job.work)
    forced = {"ingest"} if fetch.origins_changed(job.work, job.inputs["data"]) else set()
    problem, worked = bring(job.work, STAGES, forced, pull=True, on=job.on)
    if problem:
        return problem
    if worked or not job.work.report.exists():
        report.write(job.work)
    artifacts.of_run(job.work)
    verdict = _gate(str(job.place.root), str(job.work.root), job.model)
    turn.require_alive(me)
    version = _publish(str(job.place.root), str(job.work.root), job.model, verdict["passed"])
    if not verdict["passed"]:
        return _end(job, KEPT, f"{job.model}: {'; '.join(challenge.reasons(verdict))}", "refusal")
    if job.at_end == "never":
        return _end(job, PUBLISHED, f"{job.model}@{version} is published; nothing was promoted")
    if job.at_end == "promote if better":
        turn.require_alive(me)
        went, told = _promote(job.model, version, _why(verdict))
        return _end(job, PROMOTED if went else KEPT, told, "promotion" if went else "refusal")
    return _ask(job, version, verdict, me)


@step
def _gate(place: str, root: str, model: str) -> dict[str, Any]:
    work = Workspace(Path(root))
    settings = settings_file.load(work.params)
    last = settings.publish.stages[-1]
    with _bucket() as bucket:
        stands = pointer.standing(bucket, model, last)
    live = cache.pull(Reference(model, version=stands.move.version)) if stands else None
    verdict = challenge.challenge(work, settings, live, _earlier(Workspace(Path(place)), work, model))
    against = f"{verdict['live']['name']}, which was live" if verdict["live"] else "nothing: no release was live yet"
    artifacts.of_gate(verdict, against)
    return verdict


def _earlier(place: Workspace, work: Workspace, model: str) -> dict[str, Any] | None:
    """What the gate found when it was asked last: by an attempt that was killed, or by the run before."""
    path = work.challenge.relative_to(work.root).as_posix()
    if text := History(place, model).left(path):
        return dict(json.loads(text))
    return dict(files.read_json(work.challenge)) if work.challenge.exists() else None


@step
def _publish(place: str, root: str, model: str, passed: bool) -> str:
    """Data, run cache and commit; and a release if the gate let it pass. Its version, or "". Then room is made."""
    from rich.console import Console

    workspace, work, log = Workspace(Path(place)), Workspace(Path(root)), get_run_logger()
    history = History(workspace, model)
    with lock.waited_for(workspace.publishing, PATIENCE_S):
        said = io.StringIO()
        remote.push(work, Console(file=said, width=200))
        log.info("%s", said.getvalue().strip())
        commit = history.commit(work.root, f"{model}: retrained" if passed else f"{model}: retrained, not published")
        version = ""
        if passed:
            done = publish.publish(work, model, None, lambda done, total: None, lambda text: log.info("%s", text))
            version = done.held.receipt.version
            artifacts.of_release(done.held, work)
        tip = history.push(commit, f"{model}-{version}" if version else "")
        log.info("commit %s is the last of %s in %s", tip[:12], history.branch, history.shown)
        _make_room(workspace, history, tip)
    return version


def _make_room(place: Workspace, history: History, tip: str) -> None:
    """That there is none is no reason to fail: the next run tries again."""
    log = get_run_logger()
    try:
        freed = tidy.tidy(place, history, tip)
    except EnvironmentProblem as problem:
        log.warning("the cache was not tidied: %s", problem)
    else:
        if freed.objects:
            log.info("%d objects of earlier runs left the cache here (%.1f MB)", freed.objects, freed.bytes_ / 1e6)


@step
def _promote(model: str, version: str, reason: str) -> tuple[bool, str]:
    """Through every stage that it has not passed yet, to the last. Whether it got there, and where it stands or why."""
    with _bucket() as bucket:
        held = releases.find(bucket, Reference(model, version=version))
        for stage in held.receipt.contents.stages[1:]:
            try:
                stages.promote(bucket, Reference(model, version=version), stage, reason)
            except GateRefused as refused:
                return False, str(refused)
        return True, f"{model}@{version} stands at {held.receipt.contents.stages[-1]}"


def _ask(job: Job, version: str, verdict: dict[str, Any], me: FlowRun) -> State[Any]:
    live = verdict["live"]
    told = f"{job.model}@{version} waits for a person; it stands at candidate"
    asked = Question(
        job.model, version, live["receipt"] if live else "", datetime.now(UTC).isoformat(timespec="seconds")
    )
    _end(job, PUBLISHED, told, "question")
    text = _markdown(asked, verdict, artifacts.report_address(job.work))
    artifacts.of_question(text)
    question.ask(job.place, str(me.id), asked, text)
    raise AssertionError("a suspended run does not go on")


def _answered(place: Workspace, me: FlowRun) -> State[Any]:
    """Do what was answered, unless another release went live meanwhile."""
    asked, answer = question.answered(place, str(me.id))
    name = f"{asked.model}@{asked.version}"
    event, state, told = "refusal", KEPT, f"{name}: nobody answered in time"
    if answer is not None and answer.decision == "decline":
        told = f"{name} was declined{answer.note and ': '}{answer.note}"
    elif answer is not None:
        _require_same(asked)
        went, told = _promote(asked.model, asked.version, answer.note or "approved")
        event, state = ("promotion", PROMOTED) if went else (event, state)
    _note(place, asked.model, {"outcome": told})
    place.question(str(me.id)).unlink()
    webhook.tell(event, told, model=asked.model, run=str(me.id))
    return Completed(name=state, message=told)


def _require_same(asked: Question) -> None:
    """Raises BadInput if what is live is not what the challenger was compared with."""
    with _bucket() as bucket:
        last = stages.last_stage(bucket, asked.model)
        stands = pointer.standing(bucket, asked.model, last)
    now = stands.move.receipt if stands else ""
    if stands and now != asked.against and stands.move.version != asked.version:
        raise BadInput(
            f"{asked.model}@{stands.move.version} went live while the question stood, and {asked.version} was not "
            f"compared with it; start a new run"
        )


def _end(job: Job, name: str, told: str, event: str = "") -> State[Any]:
    """Remember how the run ended, and tell who wants to know."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    _note(job.place, job.model, {"inputs": job.inputs, "at_end": job.at_end, "at": now, "outcome": told})
    if event and (problem := webhook.tell(event, told, model=job.model)):
        get_run_logger().warning("%s", problem)
    return Completed(name=name, message=told)


def _note(place: Workspace, model: str, more: dict[str, Any]) -> None:
    path = place.last_run(model)
    files.write_json(path, (files.read_json(path) if path.exists() else {}) | more)


def _why(verdict: dict[str, Any]) -> str:
    seen = verdict["comparison"]
    if not seen:
        return "retrained; the first to go live"
    return f"retrained; {seen['points']:+z.1f} points against {verdict['live']['name']}"


def _markdown(asked: Question, verdict: dict[str, Any], page: str) -> str:
    """The question, for the form; a list, because Prefect cuts off what a table has beyond the form's width."""
    checks = "\n".join(
        f"- **{one['condition']}**: {one['found']}; wanted: {one['wanted']}" for one in tables.checks(verdict)
    )
    return f"**Shall {asked.model}@{asked.version} go live?** [The report]({page})\n\n{checks}\n"


def _bucket() -> Any:
    return closing(Bucket(store.known()))
