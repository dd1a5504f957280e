"""search.yaml: a space over keys of params.yaml, checked end by end against the types of the settings."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from graft.core import settings as settings_file
from graft.core.errors import BadInput, one_line
from graft.core.sections import Choice, Section, Settings
from graft.core.settings import CHOICES, MAX_SETTINGS_BYTES, explain

Values = Mapping[str, Any]
"""By dotted key: what a trial sets."""

FIXED = {
    "seed": "it decides which data are drawn",
    "data": "it changes the data",
    "extract": "it changes the data",
    "validate": "it changes which pictures are left out",
    "evaluate": "it is the yardstick",
    "finetune.labels_per_class": "it changes the data",
    "finetune.folds": "it is how rates are chosen; the search has its own `folds`",
    "pretrain.folds": "it is how rates are chosen; the search has its own `folds`",
    "curve": "it has no say in any model",
    "export": "it has no say in any model",
    "publish": "it has no say in any model",
    "retrain": "it has no say in any model",
}
"""Keys that may not be searched, and why."""

OF_REUSE = ("pretrain", "finetune.method", "finetune.unlabelled", "finetune.max_unlabelled")
OF_ALL = ("pretrain.backbone",)
"""What means nothing to a net that is trained from scratch; and of that, what does."""


class Range(Section):
    """Numbers from `low` to `high`, both included."""

    type: Literal["float", "int"]
    low: float
    high: float
    log: bool = False
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"should have a low below its high, which is {self.high:g}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("should have a low above 0 and no step, because log is true")
        if self.type == "int" and any(one != int(one) for one in (self.low, self.high, self.step or 1)):
            raise ValueError("should have whole numbers, because its type is int")
        return self

    @property
    def ends(self) -> dict[str, Any]:
        """What is checked: all between both ends is sound if they are."""
        return {name: self.value(getattr(self, name)) for name in ("low", "high")}

    def value(self, drawn: float) -> Any:
        """A number of the range, of four digits at most: what is told is what was used."""
        if self.type == "int":
            return int(drawn)
        return min(max(float(f"{drawn:.4g}"), self.low), self.high)


class OneOf(Section):
    """One of several values; a whole choice is a mapping, as in params.yaml."""

    choices: tuple[Any, ...] = Field(min_length=2, max_length=64)

    @field_validator("choices", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("choices")
    @classmethod
    def _different(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({text(one) for one in value}) < len(value):
            raise ValueError("should name each choice once")
        return value

    @property
    def ends(self) -> dict[str, Any]:
        return {f"choices[{index}]": one for index, one in enumerate(self.choices)}

    def value(self, drawn: str) -> Any:
        """The choice whose `text` was drawn."""
        return next(one for one in self.choices if text(one) == drawn)


Dimension = Range | OneOf


class Caps(Section):
    """What a trial may take: minutes, and resident memory in 2**20 bytes."""

    minutes: float = Field(gt=0, le=10_000)
    memory_mb: int = Field(ge=50, le=10_000_000)


class Search(Section):
    """What stands in search.yaml beside the space.

    Attributes:
        trials: of each arm that end with a value or are pruned.
        folds: of the cross-validation that gives a trial its value.
        seeds: draws of labels, the first of evaluate.seeds, that it is done with.
        fresh: draws that had no say, on which the best settings and the defaults are compared in the end.
    """

    trials: int = Field(ge=1, le=10_000)
    sampler: Literal["tpe", "random"]
    pruner: Literal["hyperband", "median", "none"]
    folds: int = Field(ge=2, le=20)
    seeds: int = Field(ge=1, le=100)
    fresh: int = Field(ge=5, le=100)
    caps: Caps
    space: dict[str, Any] = Field(min_length=1, max_length=64)

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """The space, by key."""
        return {key: _dimension(key, one) for key, one in self.space.items()}


@dataclass(frozen=True)
class Arm:
    """The space as far as it means something to an arm; keys that do not are `left_out`."""

    name: str
    space: dict[str, Dimension]
    left_out: tuple[str, ...] = ()


def load(path: Path, document: Mapping[str, Any], check: Callable[[Settings], object]) -> Search:
    """The search in `path`, every end of its space tried on the settings.

    Args:
        document: params.yaml as plain mappings.
        check: raises BadInput for settings that are well-formed and still will not do.

    Raises:
        BadInput: the file is missing or damaged, a key is unknown or may not be searched, or an end is out of range;
            the text names the key of search.yaml.
    """
    try:
        if path.stat().st_size > MAX_SETTINGS_BYTES:
            raise BadInput(f"{path.name} is larger than {MAX_SETTINGS_BYTES} bytes")
        said = settings_file.mapping(path.read_text(encoding="utf-8"), path.name)
    except OSError:
        raise BadInput(f"no {path.name} in {path.parent}; a fresh clone has one, and docs/tune.md says more") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is not UTF-8 text") from None
    try:
        search = Search.model_validate(said)
    except ValidationError as error:
        raise BadInput(f"{path.name}: {explain(error, Search, '')}") from None
    for key, dimension in search.dimensions.items():
        _check(key, dimension, search.space, document, check)
    return search


def arm(search: Search, name: str) -> Arm:
    """The space of the arm `transfer` or `scratch`."""
    space = search.dimensions
    left_out = tuple(key for key in space if name == "scratch" and _below(key, OF_REUSE) and not _below(key, OF_ALL))
    return Arm(name, {key: one for key, one in space.items() if key not in left_out}, left_out)


def placed(document: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """A copy of params.yaml's mappings in which each key has its value; a single learning rate becomes a list of one.

    Raises:
        BadInput: a key leads through what is no mapping.
    """
    found = copy.deepcopy(dict(document))
    for key, value in values.items():
        node, (*path, last) = found, key.split(".")
        for part in path:
            if part in CHOICES and isinstance(node.get(part), str):
                choice = Choice.model_validate(node[part])
                node[part] = {"name": choice.name, **choice.options}
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise BadInput(f"{key}: unknown key")
        node[last] = as_setting(key, value)
    return found


def as_setting(key: str, value: Any) -> Any:
    """`value` as params.yaml has it under `key`."""
    return [value] if key.endswith(".learning_rates") and isinstance(value, int | float) else value


def settings_of(document: Mapping[str, Any]) -> Settings:
    """The settings in plain mappings.

    Raises:
        BadInput: as `settings.load`.
    """
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise BadInput(explain(error, Settings, "")) from None


def present(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """What params.yaml has under each key, a default where it says nothing."""
    whole = settings_of(document).model_dump(by_alias=True, mode="json")
    found = {}
    for key in keys:
        value: Any = whole
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[key] = value
    return found


def starts(space: Mapping[str, Dimension], defaults: Values) -> list[dict[str, Any]]:
    """The defaults as trials: one for each learning rate, where params.yaml names several; none outside of the space.

    Those that the space does not hold are left out: nothing would be known of what they cost or gain.
    """
    rates = "finetune.learning_rates"
    several = defaults.get(rates) if isinstance(space.get(rates), Range) else None
    each = [{**defaults, rates: one} for one in several] if several else [dict(defaults)]
    single = [
        {key: _single(value) if isinstance(space[key], Range) else value for key, value in one.items()} for one in each
    ]
    return [one for one in single if all(holds(space[key], value) for key, value in one.items())]


def holds(dimension: Dimension, value: Any) -> bool:
    """Whether a trial of the space may have the value."""
    if isinstance(dimension, OneOf):
        return text(value) in {text(one) for one in dimension.choices}
    return isinstance(value, int | float) and dimension.low <= value <= dimension.high


def text(value: Any) -> str:
    """A choice as a line of text; what is equal in params.yaml has the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.12g}"
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def assignments(document: Mapping[str, Any], values: Values) -> list[str]:
    """`values` as `--set` takes them, whatever differs from the document; what lies below a missing section brings it.

    Raises:
        BadInput: as `placed`.
    """
    found, now = [], dict(document)
    for key, value in values.items():
        node: Any = now
        *path, last = key.split(".")
        wanted = as_setting(key, value)
        for index, part in enumerate(path):
            if not isinstance(node, Mapping) or part not in node:
                for below in reversed([*path[index + 1 :], last]):
                    wanted = {below: wanted}
                key = ".".join(path[: index + 1])
                break
            node = node[part]
        if present(now, [key])[key] != wanted:
            found.append(f"{key}={json.dumps(wanted, ensure_ascii=False)}")
        now = placed(now, {key: wanted})
    return found


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _dimension(key: str, said: Any) -> Dimension:
    kind: type[Range] | type[OneOf] = OneOf if isinstance(said, Mapping) and "choices" in said else Range
    try:
        found = kind.model_validate(said)
        if isinstance(found, OneOf) and key.split(".")[-1] in CHOICES:
            return OneOf(choices=tuple(_spelt_out(one) for one in found.choices))
        return found
    except ValidationError as error:
        raise BadInput(f"search.yaml: {explain(error, kind, f'space.{key}')}") from None


def _spelt_out(choice: Any) -> Any:
    if not isinstance(choice, str):
        return choice
    named = Choice.model_validate(choice)
    return {"name": named.name, **named.options}


def _check(
    key: str,
    dimension: Dimension,
    space: Mapping[str, Any],
    document: Mapping[str, Any],
    check: Callable[[Settings], object],
) -> None:
    where = f"search.yaml: space.{one_line(key, 80)}"
    for fixed, reason in FIXED.items():
        if _below(key, (fixed,)):
            raise BadInput(f"{where} may not be searched: {reason}; keys of pretrain and finetune would do")
    if above := next((other for other in space if other != key and _below(key, (other,))), None):
        raise BadInput(f"{where} lies below space.{above}, which is searched as a whole; name one of the two")
    for end, value in dimension.ends.items():
        try:
            check(settings_of(placed(document, {key: value})))
        except BadInput as refused:
            raise BadInput(one_line(f"{where}, {end}: {refused}")) from None


def _below(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
