"""A search over settings from outside: what decides it, its jobs in processes of their own, and what they come to."""

import hashlib
import json
import math
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import search as search_file
from graft.core import settings as settings_file
from graft.core.dataset import draw_per_class
from graft.core.errors import BadInput, UsageError, one_line
from graft.core.folds import folds
from graft.core.search import Arm, Search, Values, placed, settings_of
from graft.core.sections import Settings
from tasks import trials
from tasks.adapters import arrays, capped, files, lock
from tasks.adapters.study import Study
from tasks.choices import Choices
from tasks.tune import Job
from tasks.workspace import ROLES, Workspace

ARMS = ("transfer", "scratch")
FIRST_FRESH = 1000
"""Seeds from here on draw the labels that had no say in the search."""

PATIENCE_S = 86_400.0  # of whoever waits for the comparison that another worker is at
Measure = Callable[[Job, float], list[float]]


@dataclass(frozen=True)
class Plan:
    """A search in a workspace: what params.yaml and search.yaml say when it begins.

    Attributes:
        document: params.yaml as plain mappings.
        over: set when nobody waits for its jobs any more; they end at once then, and may be done again.
    """

    place: Workspace
    document: dict[str, Any]
    search: Search
    over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @classmethod
    def of(cls, place: Workspace, trials: int = 0) -> "Plan":
        """The search that search.yaml says, with so many trials unless that is 0.

        Raises:
            BadInput: params.yaml or search.yaml will not do.
        """
        document = settings_file.plain(place.params)
        settings = settings_of(document)
        Choices.of(settings)
        search = search_file.load(place.search, document, Choices.of)
        if search.seeds > (most := len(settings.evaluate.seeds)):
            raise BadInput(f"search.yaml: seeds is {search.seeds}; evaluate.seeds names {most}, and 1 to that would do")
        return cls(place, document, search.model_copy(update={"trials": trials}) if trials else search)

    @cached_property
    def settings(self) -> Settings:
        return settings_of(self.document)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Draws of labels that trials are measured with."""
        return self.settings.evaluate.seeds[: self.search.seeds]

    @property
    def fresh(self) -> tuple[int, ...]:
        """Draws that no trial and no training of the comparison has seen."""
        used = set(self.settings.evaluate.seeds)
        numbers = [seed for seed in range(FIRST_FRESH, FIRST_FRESH + 300) if seed not in used]
        return tuple(numbers[: self.search.fresh])

    def arm(self, name: str) -> Arm:
        return search_file.arm(self.search, name)

    def defaults(self, arm: Arm) -> dict[str, Any]:
        """What params.yaml says of the arm's keys."""
        return search_file.present(self.document, list(arm.space))

    def check(self) -> None:
        """Raises BadInput if the labelled rows cannot be cut into so many folds."""
        self.require_same()
        rows = arrays.read(self.place.packed("target", "train"))
        for seed in (*self.seeds, *self.fresh):
            try:
                drawn = draw_per_class(rows.labels, self.settings.finetune.per_class, seed)
            except ValueError:
                raise BadInput(
                    f"finetune.labels_per_class is {self.settings.finetune.per_class}; a class has fewer training "
                    "pictures: lower it, or say all"
                ) from None
            units = None if rows.units is None else rows.units[drawn]
            try:
                folds(rows.labels[drawn], units, self.search.folds, seed)
            except BadInput as refused:
                raise BadInput(f"search.yaml: folds is {self.search.folds}: {refused}") from None

    def require_same(self) -> None:
        """Raises BadInput if another run has changed what trials read since this was asked first."""
        if self._stamps != self._stamped():
            raise BadInput("features or models/pretrained changed while the search went on; start it again")

    @cached_property
    def _stamps(self) -> list[tuple[str, int, int]]:
        return self._stamped()

    def _stamped(self) -> list[tuple[str, int, int]]:
        """Path, time and size of every file that trials read."""
        files_ = [file for folder in (*self._packed, self.place.pretrained) for file in sorted(folder.glob("*"))]
        return [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files_]

    def study(self, name: str) -> Study:
        """The study of an arm, begun if it is new. Another space, other data or other settings make another one."""
        arm = self.arm(name)
        study_name = f"{self.settings.data.target.name}-{name}-{self._key(arm)}"
        study = Study(self.place.tuning, study_name, self.search, arm.space, self.settings.seed)
        defaults = self.defaults(arm)
        study.begin(search_file.starts(arm.space, defaults), {"defaults": defaults, "left_out": list(arm.left_out)})
        return study

    def _key(self, arm: Arm) -> str:
        rest = self.settings.model_dump(mode="json", include={"seed", "train", "pretrain", "finetune"})
        apart = (*arm.space, *(arm.left_out and search_file.OF_REUSE))
        for key in apart:
            rest = _without(rest, key.split("."))
        space = {key: one.model_dump(mode="json") for key, one in arm.space.items()}
        how = [self.search.folds, list(self.seeds), space, self.settings.data.modality.model_dump()]
        return hashlib.sha256(json.dumps([how, rest, self._data], sort_keys=True).encode()).hexdigest()[:12]

    @property
    def _packed(self) -> list[Path]:
        return [self.place.packed(role, split) for role in ROLES for split in ("train", "validation")]

    @cached_property
    def _data(self) -> str:
        """Of the packed rows that trainings see."""
        found = hashlib.sha256(self.place.classes.read_bytes())
        for folder in self._packed:
            for file in sorted(folder.iterdir()):
                with file.open("rb") as opened:
                    found.update(hashlib.file_digest(opened, "sha256").digest())
        return found.hexdigest()

    def job(self, study: Study, name: str, arm: str, values: Values, seeds: Sequence[int], kept: str) -> Job:
        """The job that measures `values`; what is kept of it lies in the study's folder `kept`."""
        document = placed(self.document, values)
        own = settings_of(document).pretrain != self.settings.pretrain
        folder = self.place.tuning / study.name / kept
        pretrained = str(self.place.tuning / "pretrained" / self._backbone(document)) if own else ""
        return Job(name, arm, document, list(seeds), self.search.folds, str(folder), pretrained)

    def _backbone(self, document: dict[str, Any]) -> str:
        settings = settings_of(document)
        decides = [settings.seed, settings.data.modality.model_dump(), settings.pretrain.model_dump(mode="json")]
        decides.append(settings.train.model_dump())
        return hashlib.sha256(json.dumps([decides, self._data], sort_keys=True).encode()).hexdigest()[:24]

    def measured(
        self, job: Job, workers: int, on_score: trials.OnScore, on_event: trials.OnEvent, times: float = 1.0
    ) -> list[float]:
        """Macro-F1 in [0, 1] on each fold of each of the job's draws, measured in a process of its own.

        Args:
            workers: how many share the machine's cores.
            on_score: called with the mean so far and the number of folds; true stops it.
            times: of the caps' minutes.

        Raises:
            capped.Exceeded: it took more than the caps allow.
            capped.Stopped: `on_score` said so.
            GateRefused: it failed; the text says why.
        """
        listener = trials.Listener([], on_score, on_event)
        trials.measure(self.place, job, self.limits(times), trials.environment(workers), listener, self.over.is_set)
        return listener.found

    def limits(self, times: float = 1.0) -> capped.Limits:
        """The caps of search.yaml, its minutes so many times."""
        caps = self.search.caps
        return capped.Limits(seconds=60 * caps.minutes * times, memory_mb=caps.memory_mb)

    def forget(self, job: Job) -> None:
        """Remove what a job that is over has kept."""
        shutil.rmtree(job.kept, ignore_errors=True)

    def on_fresh(self, study: Study, which: str, values: Values, measure: Measure) -> list[float]:
        """Mean macro-F1 of settings on each of the fresh draws; measured once, whoever asks.

        Args:
            measure: what `measured` does, here or elsewhere; given the job and how often the caps' minutes it may take.

        Raises:
            GateRefused: it failed or took more than the caps allow.
        """
        arm = study.name.rsplit("-", 2)[1]
        same = {key: search_file.as_setting(key, value) for key, value in values.items()}
        said = json.dumps([same, list(self.fresh)], sort_keys=True)
        kept = f"fresh-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        file = self.place.tuning / study.name / f"{kept}.json"
        job = self.job(study, f"{arm}-{which}", arm, values, self.fresh, kept)
        with lock.waited_for(file.with_suffix(".lock"), PATIENCE_S):
            if not file.exists():
                rates = settings_of(job.settings).finetune.learning_rates
                times = len(rates) * len(self.fresh) / len(self.seeds)
                found = measure(job, times)
                each = np.array(found).reshape(len(self.fresh), self.search.folds).mean(axis=1)
                files.write_json(file, [float(one) for one in each])
                self.forget(job)
        return [float(one) for one in files.read_json(file)]


def differ(best: Sequence[float], defaults: Sequence[float], folds_: int, same_rows: bool) -> dict[str, Any]:
    """Best minus defaults in points over paired draws, with a 95 % interval by Student's t.

    Args:
        best, defaults: macro-F1 in [0, 1] on the same draws.
        same_rows: every draw is of all labels, cut otherwise: they share most of what they learn from, and the
            variance is corrected for that (Nadeau & Bengio 2003).
    """
    from scipy.stats import t

    apart = 100.0 * (np.array(best) - np.array(defaults))
    n = len(apart)
    spread = float(apart.var(ddof=1)) * (1 / n + (1 / (folds_ - 1) if same_rows else 0.0))
    reach = float(t.ppf(0.975, n - 1)) * math.sqrt(spread)
    points = float(apart.mean())
    return {"points": points, "ci95": [points - reach, points + reach], "per_draw": [float(one) for one in apart]}


def arms_of(name: str) -> tuple[str, ...]:
    """The arms that `both`, `transfer` or `scratch` means.

    Raises:
        UsageError: it means none.
    """
    if name not in ("both", *ARMS):
        raise UsageError(f"--arm is {one_line(name, 40)!r}; both, transfer or scratch would do")
    return ARMS if name == "both" else (name,)


def _without(mapping: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    first, *rest = path
    if first not in mapping:
        return mapping
    if not rest:
        return {key: value for key, value in mapping.items() if key != first}
    below = mapping[first]
    return mapping | {first: _without(below, rest)} if isinstance(below, dict) else mapping
