"""The kinds of job that any machine with graft can do for another; each reads folders and leaves one."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.core.search import settings_of
from graft.core.sections import Choice, Settings
from tasks import cells, domains, finetune
from tasks.adapters import files
from tasks.cells import Bench, Glance, Job, Learned
from tasks.jobs import Work
from tasks.training import Kept
from tasks.workspace import Workspace

Folders = Mapping[str, Path]
Said = Mapping[str, Any]

FACTS, LOOK = "facts.json", "look.json"
_networks: dict[str, dict[str, Any]] = {}
"""By settings that shape a network; those of one process are traced once for all its jobs."""


def learn(reads: Folders, said: Said, kept: Path, made: Path) -> None:
    """A net learns a source: nets/BACKBONE.keras and facts.json. Raises as `cells.learn` does."""
    settings, folder = settings_of(said["settings"]), kept / "learned"
    (folder / "nets").mkdir(parents=True, exist_ok=True)
    cells.learn(None, Learned(str(said["name"]), _view(reads, kept), settings, folder), _nobody)
    shutil.copytree(folder / "nets", made / "nets")
    shutil.copyfile(folder / FACTS, made / FACTS)


def cell(reads: Folders, said: Said, kept: Path, made: Path) -> None:
    """A training on a target, and its answers to the test rows: the file that `cells.train` leaves.

    One that also helps to choose its row's learning rate leaves it under both names.
    """
    settings, job = settings_of(said["settings"]), Job(*said["job"])
    methods = [Choice.model_validate(one) for one in said["methods"]]
    bench = Bench(_view(reads, kept), settings, methods, kept / "trainings", _nets(settings))
    cells.train(bench, job, _nobody)
    for one in {job, job._replace(asked=False)} if said["chooses"] else {job}:
        shutil.copyfile(bench.record(job), made / bench.record(one).name)


def look(reads: Folders, said: Said, kept: Path, made: Path) -> None:
    """What a source's features say of a target: look.json."""
    seen = cells.look(None, Glance(_view(reads, kept), settings_of(said["settings"])), _nobody)
    files.write_json(made / LOOK, seen)


def training(reads: Folders, said: Said, kept: Path, made: Path) -> None:
    """A training of the stage finetune: what it keeps of one. Only what it cost, if it diverged."""
    settings, one = settings_of(said["settings"]), finetune.Training(*said["training"])
    view = Workspace(kept / "view")
    for place, name in finetune.inputs(view).items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(reads[name])
    files.write_json(view.classes, said["classes"])
    bench = finetune.Bench(view, settings, Kept(kept / "trainings"))
    bench.kept.folder.mkdir(exist_ok=True)
    bench.__dict__["nets"] = _nets(settings)
    with bench.kept.metered(one.name):
        finetune.train_one(bench, one, _nobody)
    for path in bench.kept.folder.glob(f"{one.name}.*"):
        if ".state" not in path.suffixes:
            shutil.copyfile(path, made / path.name)


WORK: dict[str, Work] = {"learn": learn, "cell": cell, "look": look, "training": training}


def _view(reads: Folders, kept: Path) -> Workspace:
    """A workspace with both domains; without a source the target stands in its place, as no net reads it then."""
    target = domains.open_domain(reads["target"])
    source = domains.open_domain(reads["source"]) if "source" in reads else target
    nets = reads["net"] / "nets" if "net" in reads else kept / "learned" / "nets"
    return domains.shown(kept / "view", source, target, nets)


def _nets(settings: Settings) -> dict[str, Any]:
    shape = [settings.data.modality.model_dump(mode="json"), settings.pretrain.backbone.model_dump(mode="json")]
    return _networks.setdefault(json.dumps(shape, sort_keys=True), {})


def _nobody(share: float) -> None:
    """Nobody watches: Prefect tells that the job runs, and when it has ended."""
