"""publish: what the pipeline made becomes a release in the store: the exact files, how they were made and measured."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from graft.core import attached
from graft.core import settings as settings_file
from graft.core.dataset import Progress
from graft.core.errors import BadInput, GateRefused
from graft.core.sections import Choice, Settings
from graft.hub import names, releases, stages, store
from graft.hub.bucket import Bucket
from graft.hub.receipt import Contents, Model
from graft.hub.releases import Held
from graft.hub.stages import Moved
from tasks import card, report
from tasks.adapters import commit, dvc, files
from tasks.workspace import ROLES, STAGES, Workspace

CARD, PREPROCESSING = "model_card.md", "preprocessing.json"
HOW = "upright by its EXIF orientation, transparency on white, the largest centred square, antialiased (bilinear)"


class Done(NamedTuple):
    """A published release and where it stands."""

    held: Held
    moved: Moved


def publish(
    workspace: Workspace,
    name: str,
    version: str | None,
    progress: Progress,
    note: Callable[[str], None] = lambda text: None,
) -> Done:
    """Publish what the workspace holds as `name` (the target's, if ""), and make it the first stage's.

    Args:
        version: which one it has to be; None takes the next.
        note: told, a line each, what a person should know.

    Raises:
        BadInput: a stage is not up to date, or the artefacts are not those that were measured.
        GateRefused: the export gate refused every file.
        Lost: `version` is another's.
        EnvironmentProblem: the store is out of reach.
    """
    place = store.known()
    settings = settings_file.load(workspace.params)
    model = names.model(name or settings.data.target.name.lower())
    names.version(version) if version else None
    store.check(place)
    _check_finished(workspace)
    with TemporaryDirectory(prefix="publish-", dir=_scratch(workspace)) as scratch:
        gathered = gather(workspace, settings, model, Path(scratch))
        contents = describe(workspace, settings, model, gathered)
        if contents.git["changed"]:
            note("files that git knows differ from the last commit; params.yaml and dvc.lock go with the release")
        with closing(Bucket(place)) as bucket:
            held = releases.publish(bucket, contents, gathered, version, progress, note)
            return Done(held, stages.enter(bucket, held))


def gather(workspace: Workspace, settings: Settings, model: str, scratch: Path) -> dict[str, Path]:
    """The release's files by name: those of the pipeline, and those written for it into `scratch`.

    Raises:
        BadInput: a file is not the one that was measured, or none of them is one that graft runs.
        GateRefused: the export gate refused all of them.
    """
    told = files.read_json(workspace.export_report)
    measured = {file: facts for file, facts in told["files"].items() if facts["passed"]}
    if not measured:
        file, facts = next(iter(told["files"].items()))
        raise GateRefused(f"{file} was refused by the export gate: {facts['refused_because'][0]}")
    if told["runs"] not in measured:
        raise BadInput("no TFLite file passed the export gate, and graft runs no other; add one to export.formats")
    for file, facts in measured.items():
        path = workspace.exported / file
        if not path.is_file() or releases.describe(path).sha256 != facts["sha256"]:
            raise BadInput(f"{path} is not the file that was measured; type: graft run --from export")
    if not workspace.report.is_file():
        report.write(workspace)
    made = {
        CARD: card.write(workspace, settings, model),
        PREPROCESSING: json.dumps(_preprocessing(settings), indent=2) + "\n",
    }
    for name, text in made.items():
        (scratch / name).write_text(text, encoding="utf-8")
    challenged = workspace.challenge.is_file() and _is_about(workspace.challenge, measured)
    kept = [
        *([workspace.challenge] if challenged else []),
        workspace.evaluation,
        workspace.predictions,
        workspace.export_report,
        workspace.validation,
        workspace.report,
        workspace.params,
    ]
    exported = {name: workspace.exported / name for name in sorted({attached.LABELS, *measured})}
    return (
        exported
        | {path.name: path for path in (*kept, workspace.root / "dvc.lock")}
        | {name: scratch / name for name in made}
    )


def describe(workspace: Workspace, settings: Settings, model: str, gathered: Mapping[str, Path]) -> Contents:
    """What the receipt says of the files."""
    measured = files.read_json(workspace.export_report)
    return Contents(
        name=model,
        files={name: releases.describe(path) for name, path in gathered.items()},
        model=Model(
            file=measured["runs"],
            modality=_spelt(settings.data.modality),
            classes=tuple(files.read_json(workspace.classes)["target"]),
        ),
        stages=settings.publish.stages,
        gate={
            "max_drop_points": settings.publish.max_drop_points,
            "min_gain_points": settings.publish.min_gain_points,
        },
        git=commit.at_hand(workspace.root),
        locks={
            "dvc_lock_sha256": releases.describe(workspace.root / "dvc.lock").sha256,
            "requirements_lock_sha256": releases.describe(workspace.root / "requirements.lock").sha256,
        },
        data=_data(workspace, settings),
        params=settings_file.plain(workspace.params),
        metrics={"evaluation": files.read_json(workspace.evaluation), "export": measured},
    )


def _check_finished(workspace: Workspace) -> None:
    stale = dvc.stale(workspace.root)
    if behind := [stage for stage in STAGES if stage in stale]:
        raise BadInput(
            f"{behind[0]} is not up to date, so its results are not what would be published; type: graft run"
        )


def _is_about(challenge: Path, measured: Mapping[str, Any]) -> bool:
    """Whether it was these files that were compared with what was live."""
    one = files.read_json(challenge)["challenger"]
    return bool(measured.get(one["file"], {}).get("sha256") == one["sha256"])


def _scratch(workspace: Workspace) -> Path:
    workspace.private.mkdir(exist_ok=True)
    return workspace.private


def _preprocessing(settings: Settings) -> dict[str, Any]:
    modality = _spelt(settings.data.modality)
    return {"modality": modality, "input": "uint8 RGB in [0, 255]", "how": HOW, "in_file": ["scaling", "softmax"]}


def _spelt(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, **choice.options}


def _data(workspace: Workspace, settings: Settings) -> dict[str, dict[str, Any]]:
    """Name, origin, pictures and DVC's hash of both domains."""
    kept, hashes = files.read_json(workspace.validation)["kept"], dvc.hashes(workspace.root)
    data = {}
    for role in ROLES:
        domain = getattr(settings.data, role)
        path = workspace.raw(role).relative_to(workspace.root).as_posix()
        data[role] = {
            "name": domain.name,
            "origin": _spelt(domain.origin),
            "pictures": kept[role],
            "md5": hashes.get(path, ""),
        }
    return data
