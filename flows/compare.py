"""compare and forecast: domains > what sources teach > every pair trained, or looked at > the atlas and a page."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows import artifacts, engines, show
from flows.engines import On
from flows.spread import spread
from flows.steps import step
from flows.train import Events, ended, failed
from graft.core import settings as settings_file
from graft.core.dataset import Progress
from graft.core.errors import GraftError
from tasks import atlas, compare_page, domains
from tasks import compare as work
from tasks import forecast as foretelling
from tasks.adapters import lock
from tasks.compare import Narrowed
from tasks.compare_jobs import domains_due, due
from tasks.domains import Domain
from tasks.jobs import Due, Send
from tasks.planned import Plan
from tasks.stage import keep_to_itself
from tasks.workspace import Workspace

Names = Annotated[str, Field(max_length=2000, pattern=r"^[A-Za-z0-9 ._-]*$")]
Labels = Annotated[str, Field(max_length=200, pattern=r"^ *((all|[1-9][0-9]{0,5})( +|$))*$")]
Pairs = list[tuple[str, str]]
"""Folders of a source and a target each."""


@flow(name="compare", log_prints=False)
def compare(sources: Names = "", targets: Names = "", labels_per_class: Labels = "", on: On = "local") -> Any:
    """Compare the sources of compare.yaml on the target; what the atlas holds already is not measured again.

    Args:
        sources: Names from compare.yaml, with spaces between; empty is all of them.
        targets: Likewise.
        labels_per_class: Numbers, or all; empty is what compare.yaml says.
        on: Where nets are trained: processes of this machine, a Dask or a Ray cluster.
    """
    return _run(_narrowed(sources, targets, labels_per_class), _compared, on)


@flow(name="forecast", log_prints=False)
def forecast(sources: Names = "", targets: Names = "", labels_per_class: Labels = "") -> Any:
    """Foretell what each source would gain, from its features and the atlas; nothing is fine-tuned.

    Args:
        sources: Names from compare.yaml, with spaces between; empty is all of them.
        targets: Likewise.
        labels_per_class: Numbers, or all; empty is what params.yaml says.
    """
    return _run(_narrowed(sources, targets, labels_per_class), _foretold)


def start(name: str, narrowed: Narrowed, on: On = "local") -> tuple[int, str]:
    """Run a flow of this module in this process: the exit code and, if it is not 0, the one line that says why."""
    told = [" ".join(map(str, part)) for part in narrowed]
    flows: dict[str, Any] = {"compare": partial(compare, on=on), "forecast": forecast}
    return ended(lambda: flows[name](*told, return_state=True))


def _narrowed(sources: str, targets: str, labels: str) -> Narrowed:
    numbers: tuple[Any, ...] = tuple(one if one == "all" else int(one) for one in labels.split())
    return Narrowed(tuple(sources.split()), tuple(targets.split()), numbers)


def _run(narrowed: Narrowed, rest: Any, on: On = "local") -> State[Any]:
    try:
        place = Workspace.find()
        keep_to_itself(place)
        engines.require(on)
        settings = settings_file.load(place.params)
        if rest is _foretold and not narrowed.labels:
            narrowed = narrowed._replace(labels=(settings.finetune.labels_per_class,))
        plan = work.plan(place, settings, narrowed)
        with lock.held(place.lock):
            _exchange(str(place.root))
            _spread(plan, "prepare", on, _domains_due(plan))
            pairs = _domains(plan, narrowed)
            _spread(plan, "measure", on, partial(due, plan, _opened(pairs)))
            _pretrain(narrowed, pairs)
            message = rest(plan, narrowed, pairs)
            return Completed(message=message)
    except GraftError as error:
        return failed(error)


def _domains(plan: Plan, narrowed: Narrowed) -> Pairs:
    """Every domain ready, and the folders of every pair."""
    targets = {name: _open(_prepare(name, "target", narrowed)) for name in plan.matrix.targets}
    sources = {name: _open(_prepare(name, "source", narrowed)) for name in plan.matrix.needed(plan.declared)}
    mixed = {name: work.mixed(plan, name, sources) for name, one in plan.matrix.sources.items() if one.mix}
    found = sources | mixed
    return [
        (str(domains.without(plan.workspace, found[source], targets[target]).folder), str(targets[target].folder))
        for source, target in plan.matrix.pairs()
    ]


def _spread(plan: Plan, what: str, on: On, jobs: Callable[[Send], Iterable[Due]]) -> None:
    """Let the workers of an engine do all that is lacking; the steps that follow find it done, and record it."""
    if on != "local":
        spread(what, on, plan.workspace.private / "engine", jobs)


def _domains_due(plan: Plan) -> Callable[[Send], Iterable[Due]]:
    """Domains depend on no other job, and to ask for them looks at their origins: they are asked for once."""
    found: list[Due] = []

    def still_due(_: Send) -> Iterable[Due]:
        if not found:
            found.extend(domains_due(plan))
        return [one for one in found if not (one.into / one.last).exists()]

    return still_due


def _compared(plan: Plan, narrowed: Narrowed, pairs: Pairs) -> str:
    targets = {folder: _open(folder).name for _, folder in pairs}
    done = sum(_train("nothing", name, "", folder, narrowed) for folder, name in targets.items())
    for source, target in pairs:
        done += _train(_open(source).name, targets[target], source, target, narrowed)
    _exchange(str(plan.workspace.root))
    _show(narrowed, pairs)
    return f"{done} cells measured; the page: {plan.workspace.compare_page}"


def _foretold(plan: Plan, narrowed: Narrowed, pairs: Pairs) -> str:
    for source, target in pairs:
        _look(_open(source).name, _open(target).name, source, target, narrowed)
    return _tell(narrowed, pairs)


def _plan(narrowed: Narrowed) -> Plan:
    place = Workspace.find()
    return work.plan(place, settings_file.load(place.params), narrowed)


def _told(what: str) -> Progress:
    events = Events(what)
    return lambda done, total: events({"what": what, "done": done, "total": total})


@step
def _exchange(root: str) -> None:
    """The atlas of the store and that of this workspace take from each other."""
    get_run_logger().info("%s", atlas.exchange(Workspace(Path(root))))


@partial(step, run_name="prepare {name}")
def _prepare(name: str, role: str, narrowed: Narrowed) -> str:
    """Folder of the packed domain."""
    with show.step(f"{role} {name}"):
        return str(work.prepare(_plan(narrowed), name, role, _told(name)).folder)


@step
def _pretrain(narrowed: Narrowed, pairs: Pairs) -> None:
    with show.step("pretrain"):
        work.pretrain(_plan(narrowed), _opened(pairs), _told("pretrain"))


@partial(step, run_name="{source} to {target}")
def _train(source: str, target: str, source_folder: str, target_folder: str, narrowed: Narrowed) -> int:
    """How many cells were measured."""
    what, plan = f"{source} > {target}", _plan(narrowed)
    other = _open(source_folder) if source_folder else None
    with show.step(what):
        done = work.train(plan, other, _open(target_folder), _told(what))
        if other:
            work.look(plan, other, _open(target_folder), _told(f"{what}: features"))
    return done


@partial(step, run_name="{source} to {target}")
def _look(source: str, target: str, source_folder: str, target_folder: str, narrowed: Narrowed) -> None:
    what = f"{source} > {target}"
    with show.step(what):
        work.look(_plan(narrowed), _open(source_folder), _open(target_folder), _told(what))


@step
def _show(narrowed: Narrowed, pairs: Pairs) -> None:
    plan = _plan(narrowed)
    compared = compare_page.write(plan, _opened(pairs))
    artifacts.of_comparison(plan.workspace, compared)


@step
def _tell(narrowed: Narrowed, pairs: Pairs) -> str:
    """The advice, a sentence for each target and number of labels."""
    plan = _plan(narrowed)
    said = foretelling.write(plan, _opened(pairs))
    artifacts.of_forecast(plan.workspace, said)
    return "; ".join(one.sentence for one in said)


def _opened(pairs: Pairs) -> list[tuple[Domain, Domain]]:
    return [(_open(source), _open(target)) for source, target in pairs]


def _open(folder: str) -> Domain:
    return domains.open_domain(Path(folder))
