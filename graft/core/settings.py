"""params.yaml as frozen types: read once, at the edge; unknown keys and out-of-range values are refused by name."""

import difflib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graft.core.errors import BadInput, UsageError, one_line

MAX_SETTINGS_BYTES = 1_000_000

PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
DomainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Rate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A frozen part of params.yaml. Strict: no text where a number is meant, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Choice(BaseModel):
    """A plug-in and its options, flat: `{name: full, l2: 2.0}`; just `full`; or a URI: `s3://bucket/pictures`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: PluginName

    @model_validator(mode="before")
    @classmethod
    def _accept_a_bare_name_or_uri(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, colon, _ = value.partition(":")
        return {"name": name, "uri": value} if colon else {"name": name}

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside the name; checked by the plug-in's own `Options`."""
        return dict(self.model_extra or {})


class Domain(Section):
    """One side of the transfer: where its pictures come from."""

    name: DomainName
    origin: Choice


class SplitShares(Section):
    """Shares of each class (of the rows whose group is not kept out) that are not for training."""

    validation: float = Field(ge=0.02, le=0.4)
    test: float = Field(ge=0.02, le=0.5)


class Data(Section):
    """Both domains and what a sample of them is."""

    modality: Choice
    split: SplitShares
    source: Domain
    target: Domain


Severity = Literal["stop", "reject", "warn"]
"""What a broken rule means: the run ends; the picture is left out and listed; it is listed."""


class Validate(Section):
    """The data gate: limits, and how bad it is to break each rule."""

    min_images_per_class: int = Field(ge=1, le=1_000_000)
    max_imbalance: float = Field(ge=1, le=1_000_000)
    min_edge_px: int = Field(ge=1, le=10_000)
    max_aspect: float = Field(ge=1, le=1_000)
    min_brightest: float = Field(ge=0, le=1)
    max_darkest: float = Field(ge=0, le=1)
    min_sharpness: float = Field(ge=0, le=1)
    min_information: float = Field(ge=0, le=1)
    near_copy_distance: float = Field(ge=0, le=0.5)
    max_suspicion: float = Field(ge=0, le=1)
    max_outlyingness: float = Field(ge=0, le=1_000)
    max_drift: float = Field(ge=0, le=1)
    drift_p_value: float = Field(gt=0, lt=1)
    accepted: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,127}$", description="git revision")
    rules: dict[str, Severity]

    @property
    def limits(self) -> dict[str, float]:
        """What rules compare with, by name."""
        return {name: value for name, value in self if isinstance(value, int | float)}


class Extract(Section):
    """Packed arrays and the pictures of both domains in two dimensions."""

    components: int = Field(ge=2, le=256)
    projected_per_domain: int = Field(ge=10, le=100_000)


class Pretrain(Section):
    """The backbone and how it learns from the source."""

    backbone: Choice
    objective: Choice
    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=65_536)


class Finetune(Section):
    """How the backbone is adapted to the target; the scratch net gets the same budget."""

    method: Choice
    labels_per_class: Literal["all"] | Annotated[int, Field(ge=1, le=1_000_000)]
    steps: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rates: tuple[Rate, ...] = Field(min_length=1, max_length=16)
    evaluations: int = Field(ge=1, le=10_000)

    @field_validator("learning_rates", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("learning_rates")
    @classmethod
    def _different(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError("should name each rate once")
        return value

    @property
    def per_class(self) -> int | None:
        """`labels_per_class` as a number, None for all."""
        return None if self.labels_per_class == "all" else self.labels_per_class


class Evaluate(Section):
    """Seeds of the comparison (a count or a list) and the bootstrap behind its intervals."""

    seeds: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = Field(min_length=1, max_length=100)
    bootstrap: int = Field(ge=100, le=1_000_000)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_list(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= 100:
                raise ValueError("should be 1 to 100 seeds, or a list of seeds")
            return tuple(range(value))
        return tuple(value) if isinstance(value, list) else value

    @field_validator("seeds")
    @classmethod
    def _different(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("should name each seed once")
        return value


class Export(Section):
    """The files to write and what they may lose."""

    formats: tuple[Choice, ...] = Field(min_length=1, max_length=16)
    min_agreement: float = Field(ge=0, le=1)
    max_accuracy_drop_points: float = Field(ge=0, le=100)

    @field_validator("formats", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Settings(Section):
    """Everything that changes a result."""

    seed: int = Field(ge=0, le=2**31 - 1)
    data: Data
    validate_: Validate = Field(alias="validate")
    extract: Extract
    pretrain: Pretrain
    finetune: Finetune
    evaluate: Evaluate
    export: Export


def load(path: Path) -> Settings:
    """The settings in `path`.

    Raises:
        BadInput: the file is missing, is no YAML, has an unknown key or a value out of range; the text names the key.
    """
    return _parse(_read(path), path.name)


def set_values(path: Path, assignments: list[str], check: Callable[[Settings], object]) -> list[str]:
    """Change `path` in place, keeping its comments; nothing is written unless the result is valid.

    Naming another plug-in (`finetune.method.name=linear_probe`) drops the options that belonged to the old one.

    Args:
        assignments: "dotted.key=value" each, the value as YAML.
        check: raises for settings that are well-formed and still will not do, an unknown plug-in say.

    Returns:
        One line for each change made.

    Raises:
        UsageError: an assignment is not KEY=VALUE.
        BadInput: the key does not exist, or the value is refused.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)  # as the file has it: a change touches its own line alone
    document = _mapping(yaml, _read(path), path.name)
    changes = [line for text in assignments if (line := _assign(document, text))]
    if changes:
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        check(_parse(buffer.getvalue(), "--set"))
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(buffer.getvalue(), encoding="utf-8")
        os.replace(aside, path)
    return changes


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """The first complaint of a validation as one line: which key, what was found, what would do."""
    complaints = error.errors(include_url=False)
    # a misspelt key is also a missing one; the misspelling is what to mend
    first = next((one for one in complaints if one["type"] == "extra_forbidden"), complaints[0])
    parts = [str(part) for part in first["loc"] if not str(part).startswith(("literal[", "constrained-", "function-"))]
    parts = [part for part in parts if part not in ("int", "str")]
    key = ".".join([where, *parts]) if where else ".".join(parts)
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, parts[:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; keys here: {', '.join(known) or 'none'}"
        return one_line(f"{key}: unknown key{hint}")
    if first["type"] == "missing":
        return f"{key}: missing"
    told = first["msg"].removeprefix("Value error, ")
    wanted = told if first["type"] == "value_error" else told[max(0, told.find("should")) :]
    return one_line(f"{key} is {_shown(first['input'])}; it {wanted[0].lower()}{wanted[1:]}")


def _read(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_SETTINGS_BYTES:
            raise BadInput(f"{path.name} has {size} bytes; settings take at most {MAX_SETTINGS_BYTES}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"no {path.name} in {path.parent}; run graft inside a graft checkout") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is not UTF-8 text") from None


def _parse(text: str, where: str) -> Settings:
    try:
        return Settings.model_validate(_mapping(YAML(typ="safe", pure=True), text, where))
    except ValidationError as error:
        raise BadInput(f"{where}: {explain(error, Settings, '')}") from None


def _mapping(yaml: YAML, text: str, where: str) -> Any:
    try:
        document = yaml.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise BadInput(one_line(f"{where}{line}: not valid YAML: {problem}")) from None
    if not isinstance(document, dict):
        raise BadInput(f"{where} is empty or not a mapping; see params.yaml of a fresh clone")
    return document


def _assign(document: Any, text: str) -> str:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, got {one_line(text)!r}")
    try:
        value = YAML().load(raw) if raw.strip() else None
    except YAMLError:
        raise UsageError(f"--set {one_line(key)}: {one_line(raw)!r} is not valid YAML") from None
    *path, last = key.split(".")
    node = document
    for part in path:
        if isinstance(node.get(part), str) and part in CHOICES:
            node[part] = {"name": node[part]}
        node = node.get(part)
        if not isinstance(node, dict):
            raise BadInput(f"--set: {one_line(key)}: unknown key")
    before = node.get(last)
    if before == value and type(before) is type(value):
        return ""
    renames = last == "name" and bool(path) and path[-1] in CHOICES
    dropped = [other for other in node if other != "name"] if renames else []
    for other in dropped:
        del node[other]
    node[last] = value
    note = f" (and drops {', '.join(dropped)})" if dropped else ""
    return f"{key}: {_shown(before)} -> {_shown(value)}{note}"


CHOICES = ("modality", "origin", "backbone", "objective", "method")


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _shown(value: Any) -> str:
    text = one_line(repr(value) if isinstance(value, str) else str(value), 80)
    return text.replace("ordereddict", "")
