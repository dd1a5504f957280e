"""Trainings that outlive a kill: a stage's finished ones are kept until it ends, the one at work in a checkpoint."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import graft
from graft.core import cost, fit
from graft.core.cost import Cost
from graft.core.dataset import Progress
from graft.core.loop import History
from graft.core.resume import Checkpoint
from tasks.adapters import files, models
from tasks.workspace import Workspace

LIBRARIES = ("keras", "numpy", "tensorflow")
CODE = ("core", "backbones", "methods", "modalities", "objectives")


@dataclass(frozen=True)
class Kept:
    """A folder with what a stage has trained so far, named by all that decides it."""

    folder: Path

    def checkpoint(self, name: str) -> Checkpoint:
        """Where the training `name` keeps its state."""
        return Checkpoint(self.folder / f"{name}.state")

    def finished(self, name: str) -> Any:
        """What `finish` was told of the training; None if it has not ended, or its file is not as it was written."""
        try:
            record = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            whole = _digest(self.model(name)) == record["sha256"]
        except (OSError, ValueError, KeyError):
            return None
        return record["facts"] if whole else None

    def finish(self, name: str, model: Any, facts: Any) -> None:
        """Keep the trained model and `facts` (as JSON can hold them); its checkpoints go."""
        models.save(model, self.model(name))
        files.write_json(self.folder / f"{name}.json", {"sha256": _digest(self.model(name)), "facts": facts})
        for left in self.folder.glob(f"{name}.state*"):
            left.unlink()

    def model(self, name: str) -> Path:
        """The file of a finished training."""
        return self.folder / f"{name}.keras"

    @contextmanager
    def metered(self, name: str) -> Iterator[None]:
        """Count what the training `name` costs in the block; what a kill cuts off is not counted."""
        try:
            with cost.metered() as told:
                yield
        finally:
            files.write_json(self.cost_file(name), asdict(replace(self.cost(name) + told[0], trainings=1)))

    def cost_file(self, name: str) -> Path:
        """The file that says what the training `name` has cost; it is there as soon as it ended, well or not."""
        return self.folder / f"{name}.cost"

    def cost(self, name: str) -> Cost:
        """What the training `name` has cost so far."""
        try:
            return Cost(**json.loads(self.cost_file(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Cost(trainings=0)


@contextmanager
def kept(workspace: Workspace, stage: str, decides: Any, inputs: Iterable[Path]) -> Iterator[Kept]:
    """What an earlier, killed run of `stage` left under the same key, or nothing; removed when the block ends well.

    What stands under another key is removed at once.

    Args:
        decides: the settings that the stage reads, as JSON can hold them.
        inputs: files and folders that it reads.
    """
    folder = kept_in(workspace, stage, decides, inputs)
    for left in folder.parent.glob(f"{stage}-*"):
        if left != folder:
            shutil.rmtree(left)
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers([folder])
    yield Kept(folder)
    shutil.rmtree(folder)


def kept_in(workspace: Workspace, stage: str, decides: Any, inputs: Iterable[Path]) -> Path:
    """The folder of `kept`."""
    return workspace.trainings / f"{stage}-{key_of(decides, inputs)}"


def part(progress: Progress, first: int, trainings: int) -> Progress:
    """Progress of trainings from the `first` on, in hundredths of one of all."""
    return lambda done, _: progress(100 * first + done, 100 * trainings)


def best_rate(tried: Mapping[float, Sequence[History]]) -> float | None:
    """The learning rate whose histories evaluate best on average (see `fit.mean_rank`), the first of equals.

    Args:
        tried: by rate a history for each fold, or a single one; empty where a training diverged.

    Returns:
        None if at every rate one diverged.
    """
    sound = {rate: histories for rate, histories in tried.items() if all(histories)}
    return max(sound, key=lambda rate: fit.mean_rank(sound[rate])) if sound else None


def shipped_seed(validation_accuracy: dict[str, float]) -> int:
    """The seed with the best validation accuracy, the first of equals."""
    return int(max(validation_accuracy, key=lambda seed: validation_accuracy[seed]))


def key_of(decides: Any, inputs: Iterable[Path]) -> str:
    """Of settings, data, code and libraries; the same where a training would go the same way."""
    code = Path(graft.__file__).parent
    found = hashlib.sha256(json.dumps([decides, [version(name) for name in LIBRARIES]], sort_keys=True).encode())
    for path in (*inputs, *(code / name for name in CODE)):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"{file.name} {_digest(file)}\n".encode())
    return found.hexdigest()[:32]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
