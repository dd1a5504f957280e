"""The kinds of job that any machine with graft can do for another; each reads folders and leaves one."""

import json
import shutil
from pathlib import Path
from typing import Any

from graft.core.plugins import resolve
from graft.core.processes import usable_cores
from graft.core.search import settings_of
from graft.core.sections import Choice, Settings
from tasks import cells, domains, finetune, ingest_jobs, jobs, shard_work, trials, tune
from tasks.adapters import capped, files
from tasks.cells import Bench, Glance, Job, Learned
from tasks.jobs import Desk, Work
from tasks.training import Kept
from tasks.workspace import Workspace

DOMAIN, FACTS, LOOK, SCORES = "domain.json", "facts.json", "look.json", "scores.json"
_networks: dict[str, dict[str, Any]] = {}
"""By settings that shape a network; those of one process are traced once for all its jobs."""


def prepare(desk: Desk) -> None:
    """A domain is fetched, gated and packed: its folder, as `domains.prepare` makes it, and raising what that does."""
    said, place = desk.said, _workspace(desk.kept / "workspace", desk.said["settings"])
    origin = Choice.model_validate(said["origin"])
    found = domains.prepare(place, _settings(desk), said["name"], origin, said["role"], lambda done, total: None)
    shutil.copytree(found.folder, desk.made, dirs_exist_ok=True)


def fetch(desk: Desk) -> None:
    """Some objects of an origin, for the cache of whoever asked. Raises as the origin's `fetch_part` does."""
    origin = resolve("tasks.origins", Choice.model_validate(desk.said["origin"]), "origin")
    part = ingest_jobs.read(desk.reads["part"] / ingest_jobs.PART)
    origin.module.fetch_part(origin.options, part, desk.kept, desk.made)
    files.write_json(desk.made / ingest_jobs.FETCHED, {"objects": len(part)})


def measure(desk: Desk) -> None:
    """The pictures of a raw shard are measured, in a process of its own. Raises as `shard_work.run`."""
    shard_work.run(shard_work.MEASURE, *_shard(desk))


def decode(desk: Desk) -> None:
    """They are decoded likewise."""
    shard_work.run(shard_work.DECODE, *_shard(desk))


def learn(desk: Desk) -> None:
    """A net learns a source: nets/BACKBONE.keras and facts.json. Raises as `cells.learn` does."""
    folder = desk.kept / "learned"
    (folder / "nets").mkdir(parents=True, exist_ok=True)
    cells.learn(None, Learned(str(desk.said["name"]), _domains(desk), _settings(desk), folder), _nobody)
    shutil.copytree(folder / "nets", desk.made / "nets")
    shutil.copyfile(folder / FACTS, desk.made / FACTS)


def cell(desk: Desk) -> None:
    """A training on a target, and its answers to the test rows: the file that `cells.train` leaves.

    One that also helps to choose its row's learning rate leaves it under both names.
    """
    settings, job = _settings(desk), Job(*desk.said["job"])
    methods = [Choice.model_validate(one) for one in desk.said["methods"]]
    bench = Bench(_domains(desk), settings, methods, desk.kept / "trainings", _nets(settings))
    cells.train(bench, job, _nobody)
    for one in {job, job._replace(asked=False)} if desk.said["chooses"] else {job}:
        shutil.copyfile(bench.record(job), desk.made / bench.record(one).name)


def look(desk: Desk) -> None:
    """What a source's features say of a target: look.json."""
    files.write_json(desk.made / LOOK, cells.look(None, Glance(_domains(desk), _settings(desk)), _nobody))


def training(desk: Desk) -> None:
    """A training of the stage finetune: what it keeps of one. Only what it cost, if it diverged."""
    settings, one = _settings(desk), finetune.Training(*desk.said["training"])
    bench = finetune.Bench(_packed(desk), settings, Kept(desk.kept / "trainings"))
    bench.kept.folder.mkdir(exist_ok=True)
    bench.__dict__["nets"] = _nets(settings)
    with bench.kept.metered(one.name):
        finetune.train_one(bench, one, _nobody)
    for path in bench.kept.folder.glob(f"{one.name}.*"):
        if ".state" not in path.suffixes:
            shutil.copyfile(path, desk.made / path.name)


def trial(desk: Desk) -> None:
    """A trial of a search, in a process of its own: scores.json, and each fold's score on the wire as it comes.

    Raises:
        capped.Stopped: whoever gave it wants no more of it.
        GateRefused: as `trials.measure`.
    """
    view = _packed(desk)
    _workspace(view.root, desk.said["job"]["settings"])
    own = desk.said["backbone"]
    pretrained = str(jobs.shelf() / "pretrained" / own) if own else ""
    job = tune.Job(**desk.said["job"])._replace(kept=str(desk.kept / "trial"), pretrained=pretrained)

    def heard(mean: float, done: int) -> bool:
        desk.wire.tell(done - 1, found[done - 1])
        return desk.wire.is_stopped()

    found: list[float] = []
    limits = capped.Limits(**desk.said["limits"])
    trials.measure(view, job, limits, trials.environment(usable_cores()), trials.Listener(found, heard))
    files.write_json(desk.made / SCORES, found)


_EVERY = (prepare, fetch, measure, decode, learn, cell, look, training, trial)
WORK: dict[str, Work] = {one.__name__: one for one in _EVERY}


def _shard(desk: Desk) -> tuple[Path, Choice, Path]:
    (shard,) = desk.reads["shard"].iterdir()
    return shard, Choice.model_validate(desk.said["modality"]), desk.made


def _workspace(root: Path, settings: Any) -> Workspace:
    """One at `root` with these settings, which stages find."""
    root.mkdir(parents=True, exist_ok=True)
    place = Workspace(root)
    place.params.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    return place


def _settings(desk: Desk) -> Settings:
    return settings_of(desk.said["settings"])


def _domains(desk: Desk) -> Workspace:
    """A workspace with both domains; without a source the target stands in its place, as no net reads it then."""
    reads, own = desk.reads, desk.kept / "learned"
    target = domains.open_domain(reads["target"])
    source = domains.open_domain(reads["source"]) if "source" in reads else target
    return domains.shown(desk.kept / "view", source, target, reads.get("net", own) / "nets")


def _packed(desk: Desk) -> Workspace:
    """A workspace with what trainings on the target read of another one."""
    view = Workspace(desk.kept / "view")
    for place, name in finetune.inputs(view).items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(desk.reads[name])
    files.write_json(view.classes, desk.said["classes"])
    return view


def _nets(settings: Settings) -> dict[str, Any]:
    shape = [settings.data.modality.model_dump(mode="json"), settings.pretrain.backbone.model_dump(mode="json")]
    return _networks.setdefault(json.dumps(shape, sort_keys=True), {})


def _nobody(share: float) -> None:
    """Nobody watches: Prefect tells that the job runs, and when it has ended."""
