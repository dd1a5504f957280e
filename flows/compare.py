"""compare: prepare every domain > learn every source > train every pair > the transfer atlas and its page."""

from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import artifacts, show
from flows.steps import step
from flows.train import Events, ended, failed
from graft.core import settings as settings_file
from graft.core.dataset import Progress
from graft.core.errors import GraftError
from tasks import atlas, compare_page, domains
from tasks import compare as work
from tasks.adapters import lock
from tasks.domains import Domain
from tasks.stage import keep_to_itself
from tasks.workspace import Workspace


@flow(name="compare", log_prints=False)
def compare(workspace: str = ".") -> Any:
    """Compare the sources of compare.yaml; what the atlas holds already is not measured again.

    Args:
        workspace: folder with params.yaml, dvc.yaml and compare.yaml.
    """
    try:
        place = Workspace.find(Path(workspace))
        keep_to_itself(place)
        plan = work.plan(place, settings_file.load(place.params))
        with lock.held(place.lock):
            return _run(plan)
    except GraftError as error:
        return failed(error)


def start(workspace: Path) -> tuple[int, str]:
    """Run the flow in this process: the exit code and, if it is not 0, the one line that says why."""
    return ended(lambda: compare(str(workspace), return_state=True))


def _run(plan: work.Plan) -> State[Any]:
    root, matrix = str(plan.workspace.root), plan.matrix
    _exchange(root)
    targets = {name: domains.open_domain(Path(_prepare(root, name, "target"))) for name in matrix.targets}
    plain = [name for name, one in matrix.sources.items() if one.origin]
    sources = {name: domains.open_domain(Path(_prepare(root, name, "source"))) for name in plain}
    sources |= {name: work.mixed(plan, name, sources) for name in matrix.sources if name not in sources}
    pairs = [
        (domains.without(plan.workspace, sources[source], targets[target]), targets[target])
        for source, target in matrix.pairs()
    ]
    _pretrain(root, [(str(source.folder), str(target.folder)) for source, target in pairs])
    done = sum(_train(root, "nothing", name, "", str(target.folder)) for name, target in targets.items())
    for source, target in pairs:
        done += _train(root, source.name, target.name, str(source.folder), str(target.folder))
    _exchange(root)
    _show(root, [(str(source.folder), str(target.folder)) for source, target in pairs])
    return Completed(message=f"{done} cells measured; the page: {plan.workspace.compare_page}")


def _plan(root: str) -> work.Plan:
    place = Workspace(Path(root))
    return work.plan(place, settings_file.load(place.params))


def _told(what: str) -> Progress:
    events = Events(what)
    return lambda done, total: events({"what": what, "done": done, "total": total})


@step
def _exchange(root: str) -> None:
    """The atlas of the store and that of this workspace take from each other."""
    get_run_logger().info("%s", atlas.exchange(Workspace(Path(root))))


@partial(step, run_name="prepare {name}")
def _prepare(root: str, name: str, role: str) -> str:
    """Folder of the packed domain."""
    with show.step(f"{role} {name}"):
        return str(work.prepare(_plan(root), name, role, _told(name)).folder)


@step
def _pretrain(root: str, pairs: list[tuple[str, str]]) -> None:
    with show.step("pretrain"):
        work.pretrain(_plan(root), [(_open(source), _open(target)) for source, target in pairs], _told("pretrain"))


@partial(step, run_name="{source} to {target}")
def _train(root: str, source: str, target: str, source_folder: str, target_folder: str) -> int:
    """How many cells were measured."""
    what, plan = f"{source} > {target}", _plan(root)
    other = _open(source_folder) if source_folder else None
    with show.step(what):
        done = work.train(plan, other, _open(target_folder), _told(what))
        if other:
            work.look(plan, other, _open(target_folder), _told(f"{what}: features"))
    return done


@step
def _show(root: str, pairs: list[tuple[str, str]]) -> None:
    plan = _plan(root)
    told = compare_page.write(plan, [(_open(source), _open(target)) for source, target in pairs])
    artifacts.of_comparison(plan.workspace, told)


def _open(folder: str) -> Domain:
    return domains.open_domain(Path(folder))
