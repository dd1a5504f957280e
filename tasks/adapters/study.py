"""Optuna as graft uses it: trials that workers share, each done once, whoever of them is killed.

Whoever takes, gives back or buries a trial holds a lock of the workspace meanwhile. Between machines, which share a
storage and no lock, the storage's own order of trials decides.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from graft.core.errors import GateRefused
from graft.core.search import OneOf, Range, Search, Values, text
from tasks.adapters import alive, lock, storage

if TYPE_CHECKING:
    import optuna

SLACK_S = 300.0
YOUNG_S = 60.0
WORKER, REASON, AGAIN, DEFAULT = "worker", "reason", "again_of", "defaults"
"""Attributes of trials: who is at it; why it failed; of which dead one it is the second go; that it is a default's."""
SURPLUS = "a worker of another machine was first"
TPE_STARTUP = 8
_threads = threading.Lock()

Share = Literal["taken", "others at work", "done"]


@dataclass(frozen=True)
class Told:
    """A trial as reports tell it.

    Attributes:
        state: complete, pruned, failed, running or waiting.
        value: macro-F1 in [0, 1]; of a pruned one, as far as it got.
        steps: the value after each fold.
        again_of: number of the trial that died and whose settings these are.
    """

    number: int
    state: str
    value: float | None
    values: Values
    steps: tuple[float, ...]
    seconds: float | None
    reason: str
    is_default: bool
    again_of: int | None


@dataclass(frozen=True)
class Trial:
    """A trial that this process has taken.

    Attributes:
        first: the number under which its settings were first tried; what is kept of them on disk goes by it.
    """

    number: int
    first: int
    values: Values
    _trial: Any = field(repr=False)
    _study: Any = field(repr=False)

    def report(self, value: float, step: int) -> bool:
        """Tell how it stands after `step` folds (from 1 on); whether the pruner would stop it."""
        self._trial.report(value, step)
        return bool(self._trial.should_prune())

    def complete(self, value: float) -> None:
        self._study.tell(self._trial, value)

    def prune(self) -> None:
        from optuna.trial import TrialState

        self._study.tell(self._trial, state=TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """It is not tried again."""
        from optuna.trial import TrialState

        self._trial.set_user_attr(REASON, reason)
        self._study.tell(self._trial, state=TrialState.FAIL)


@dataclass(frozen=True)
class Study:
    """The trials of an arm.

    Attributes:
        folder: of the workspace, for the journal and the lock.
        name: holds a hash of all that decides what a trial's value is.
        space: by key.
        seed: of the sampler.
    """

    folder: Path
    name: str
    search: Search
    space: Mapping[str, Range | OneOf]
    seed: int

    def begin(self, starts: Sequence[Values], facts: Mapping[str, Any]) -> None:
        """Make it, with the trials it begins with and what is to be remembered of it, unless it is there already.

        Raises:
            EnvironmentProblem: the storage is out of reach.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        storage.mend(storage.journal(self.folder))
        with self._alone() as study:
            if study.user_attrs.get("begun"):
                return
            for name, value in facts.items():
                study.set_user_attr(name, value)
            known = [one.user_attrs.get(DEFAULT) for one in study.get_trials(deepcopy=False)]
            for index, values in enumerate(starts, start=1):
                if index not in known:
                    study.enqueue_trial(self._drawn(values), user_attrs={DEFAULT: index})
            study.set_user_attr("begun", True)

    def take(self) -> tuple[Share, Trial | None]:
        """The next trial, a dead worker's first; none if others are at the last of them, or all are done.

        Raises:
            EnvironmentProblem: the storage is out of reach.
            GateRefused: as many trials have failed as were to end well.
        """
        from optuna.trial import TrialState

        with self._alone() as study:
            self._bury(study)
            trials = study.get_trials(deepcopy=False)
            done = sum(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in trials)
            going = sum(one.state == TrialState.RUNNING for one in trials)
            if done >= self.search.trials:
                return "done", None
            failed = [found for one in trials if (found := one.user_attrs.get(REASON, SURPLUS)) != SURPLUS]
            if len(failed) >= self.search.trials:
                raise GateRefused(
                    f"{len(failed)} trials failed, the last one: {failed[-1]}; other caps or another space in "
                    "search.yaml would do"
                )
            if done + going >= self.search.trials:
                return "others at work", None
            study.sampler = self._sampler(len(trials))
            trial = study.ask()
            trial.set_user_attr(WORKER, alive.me())
            values = {key: self._suggest(trial, key) for key in self.space}
            if self._is_one_too_many(study, trial.number):
                trial.set_user_attr(REASON, SURPLUS)
                study.tell(trial, state=TrialState.FAIL)
                return "others at work", None
            first = _first(study.get_trials(deepcopy=False), trial.number)
            return "taken", Trial(trial.number, first, values, trial, study)

    def trials(self) -> list[Told]:
        """All, by number."""
        return [self._told(one) for one in self._open().get_trials(deepcopy=False)]

    @property
    def facts(self) -> dict[str, Any]:
        """What `begin` was told when the study was made."""
        return dict(self._open().user_attrs)

    def importance(self) -> dict[str, float]:
        """By key its share of the values' variance, by fANOVA (Hutter et al. 2014), adding up to 1; {} of too few."""
        from optuna import importance
        from optuna.trial import TrialState

        study = self._open()
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len({one.value for one in complete}) < 4:
            return {}
        found = importance.get_param_importances(
            study, evaluator=importance.FanovaImportanceEvaluator(seed=self.seed), params=list(self.space)
        )
        return {key: float(value) for key, value in found.items()}

    @contextmanager
    def _alone(self) -> Iterator["optuna.Study"]:
        """The study, while no other worker of this workspace has it."""
        with _threads, lock.waited_for(self.folder / "study.lock", storage.PATIENCE_S):
            yield self._open()

    def _open(self) -> "optuna.Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return storage.reached(
            lambda: optuna.create_study(
                storage=storage.open_in(self.folder),
                study_name=self.name,
                direction="maximize",
                load_if_exists=True,
                pruner=self._pruner(),
            )
        )

    def _pruner(self) -> Any:
        from optuna import pruners

        if self.search.pruner == "hyperband":
            most = self.search.folds * self.search.seeds
            return pruners.HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=3)
        return pruners.MedianPruner(n_startup_trials=5) if self.search.pruner == "median" else pruners.NopPruner()

    def _sampler(self, number: int) -> Any:
        """Of the trial after so many: one seed for all would draw the same again after every start."""
        from optuna import samplers

        seed = self.seed + 7919 * number
        if self.search.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=TPE_STARTUP)

    def _suggest(self, trial: "optuna.Trial", key: str) -> Any:
        one = self.space[key]
        if isinstance(one, OneOf):
            return one.value(trial.suggest_categorical(key, [text(choice) for choice in one.choices]))
        if one.type == "int":
            return trial.suggest_int(key, int(one.low), int(one.high), step=int(one.step or 1), log=one.log)
        return one.value(trial.suggest_float(key, one.low, one.high, step=one.step, log=one.log))

    def _drawn(self, values: Values) -> dict[str, Any]:
        """`values` as Optuna keeps them."""
        return {key: text(value) if isinstance(self.space[key], OneOf) else value for key, value in values.items()}

    def _is_one_too_many(self, study: "optuna.Study", number: int) -> bool:
        """Whether as many as are wanted came before: two machines may have taken the last one at the same time."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        before = sum(one.number < number and one.state != TrialState.FAIL for one in trials)
        return before >= self.search.trials

    def _bury(self, study: "optuna.Study") -> None:
        """Mark the trials of dead workers FAIL, and have each tried again once, with the settings that it had."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(one):
                try:
                    study.tell(one.number, state=TrialState.FAIL)
                except (ValueError, UpdateFinishedTrialError):
                    continue  # another machine was first
        trials = study.get_trials(deepcopy=False)
        followed = {one.user_attrs.get(AGAIN) for one in trials}
        for one in trials:
            if one.state != TrialState.FAIL or REASON in one.user_attrs or one.number in followed:
                continue
            ended = one.datetime_complete or datetime.now()
            wanted = one.system_attrs.get("fixed_params", {}) | one.params
            if wanted and (storage.is_here() or self._was_here(one) or _age(ended) > YOUNG_S):
                kept = {name: one.user_attrs[name] for name in (DEFAULT,) if name in one.user_attrs}
                study.enqueue_trial(wanted, user_attrs={**kept, AGAIN: one.number})

    def _is_dead(self, one: "optuna.trial.FrozenTrial") -> bool:
        age = _age(one.datetime_start) if one.datetime_start else 0.0
        if WORKER not in one.user_attrs:  # killed as soon as it was taken; here that cannot be, the lock is ours
            return storage.is_here() or age > YOUNG_S
        if self._was_here(one):
            return not alive.lives(str(one.user_attrs[WORKER]))
        return age > 60 * self.search.caps.minutes + SLACK_S

    def _was_here(self, one: "optuna.trial.FrozenTrial") -> bool:
        return str(one.user_attrs.get(WORKER, "")).startswith(f"{alive.machine()}/")

    def _told(self, one: "optuna.trial.FrozenTrial") -> Told:
        took = one.duration
        return Told(
            one.number,
            {"fail": "failed"}.get(one.state.name.lower(), one.state.name.lower()),
            one.value,
            {key: self.space[key].value(value) for key, value in one.params.items() if key in self.space},
            tuple(value for _, value in sorted(one.intermediate_values.items())),
            took.total_seconds() if took else None,
            str(one.user_attrs.get(REASON, "")),
            DEFAULT in one.user_attrs,
            one.user_attrs.get(AGAIN),
        )


def _first(trials: Sequence[Any], number: int) -> int:
    again = {one.number: one.user_attrs.get(AGAIN) for one in trials}
    while (before := again.get(number)) is not None:
        number = before
    return number


def _age(then: datetime) -> float:
    """Seconds since; Optuna's times are local and say so or not."""
    return time.time() - (then.timestamp() if then.tzinfo is None else then.astimezone(UTC).timestamp())
