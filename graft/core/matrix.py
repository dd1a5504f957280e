"""compare.yaml: sources x methods x labels per class x seeds, on one or several targets; and what is wrong with it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from graft.core import settings as settings_file
from graft.core.errors import BadInput, UsageError, one_line
from graft.core.sections import Choice, Domain, DomainName, Section, Settings

Labels = Literal["all"] | Annotated[int, Field(ge=1, le=1_000_000)]
MOST = 10_000
"""Trainings that a matrix may ask for: more is a slip of the pen."""


class Source(Section):
    """A source to compare: an origin of pictures, or a mix of other sources.

    Attributes:
        mix: by name of another source, its share of the pictures; shares need not sum to 1.
    """

    origin: Choice | None = None
    mix: dict[str, Annotated[float, Field(gt=0, le=1_000)]] = Field(default={}, max_length=16)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.origin is None) == (not self.mix):
            raise ValueError("should have an origin, or a mix of other sources, and not both")
        return self


class Target(Section):
    """A target to learn."""

    origin: Choice


class Matrix(Section):
    """What is compared. Each source is tried on each target with each method and number of labels, from each seed.

    Attributes:
        targets: none: that of params.yaml.
        methods: none: that of params.yaml.
        labels_per_class: none: that of params.yaml.
        seeds: how many, from 0 up.
    """

    sources: dict[DomainName, Source] = Field(min_length=1, max_length=100)
    targets: dict[DomainName, Target] = Field(default={}, max_length=100)
    methods: tuple[Choice, ...] = Field(default=(), max_length=32)
    labels_per_class: tuple[Labels, ...] = Field(default=(), max_length=32)
    seeds: int = Field(ge=1, le=100)

    @field_validator("methods", "labels_per_class", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("labels_per_class")
    @classmethod
    def _different(cls, value: tuple[Labels, ...]) -> tuple[Labels, ...]:
        if len(set(value)) < len(value):
            raise ValueError("should name each number once")
        return value

    @field_validator("sources")
    @classmethod
    def _mixes(cls, value: dict[str, Source]) -> dict[str, Source]:
        plain = [name for name, one in value.items() if not one.mix]
        for name, source in value.items():
            if unknown := [part for part in source.mix if part not in plain]:
                known = ", ".join(plain) or "none here"
                raise ValueError(f"should mix in {name} sources that have an origin ({known}), not {unknown[0]!r}")
        return value

    def filled(self, settings: Settings) -> "Matrix":
        """With what params.yaml says where this says nothing."""
        finetune, target = settings.finetune, settings.data.target
        return self.model_copy(
            update={
                "targets": self.targets or {target.name: Target(origin=target.origin)},
                "methods": self.methods or (finetune.method,),
                "labels_per_class": self.labels_per_class or (finetune.labels_per_class,),
            }
        )

    def only(self, sources: Sequence[str], targets: Sequence[str], labels: Sequence[Labels]) -> "Matrix":
        """What is named of it; all of a kind of which nothing is. A number of labels need not be among its own.

        Raises:
            UsageError: a source or target is not among its own.
        """
        for kind, named, known in (("source", sources, self.sources), ("target", targets, self.targets)):
            if unknown := [name for name in named if name not in known]:
                raise UsageError(
                    f"{one_line(unknown[0], 100)!r} is no {kind} of compare.yaml; {kind}s: {', '.join(known)}"
                )
        return self.model_copy(
            update={
                "sources": {name: self.sources[name] for name in sources or self.sources},
                "targets": {name: self.targets[name] for name in targets or self.targets},
                "labels_per_class": tuple(dict.fromkeys(labels)) or self.labels_per_class,
            }
        )

    def retrained(self, named: Sequence[str]) -> dict[str, dict[str, str]]:
        """By target, all unless some are named: the fields of the form that starts its retraining.

        Raises:
            UsageError: a target is not among its own.
            BadInput: it has none, or the origin of one has options that the form does not take.
        """
        targets = self.only((), named, ()).targets
        if not targets:
            raise BadInput("compare.yaml names no targets; list them there, each with its origin, as under sources")
        return {name: {"target": name, **_fields(name, one.origin)} for name, one in targets.items()}

    def needed(self, declared: "Matrix") -> list[str]:
        """Sources with an origin of their own that are compared here, or are part of one that is."""
        parts = {part for one in self.sources.values() for part in one.mix}
        return [
            name for name, one in declared.sources.items() if one.origin and (name in self.sources or name in parts)
        ]

    @property
    def trainings(self) -> int:
        """How many of the reused nets, at one learning rate each."""
        counts = (self.sources, self.targets, self.methods, self.labels_per_class)
        return math.prod(max(1, len(one)) for one in counts) * self.seeds

    def pairs(self) -> list[tuple[str, str]]:
        """Every (source, target), target by target; a domain is no source of itself."""
        return [
            (source, target)
            for target, learned in self.targets.items()
            for source, one in self.sources.items()
            if one.origin is None
            or Domain(name=source, origin=one.origin) != Domain(name=target, origin=learned.origin)
        ]


def _fields(name: str, origin: Choice) -> dict[str, str]:
    place = next((key for key in ("uri", "root") if key in origin.options), None)
    if more := [key for key in origin.options if key != place]:
        raise BadInput(
            f"compare.yaml: targets.{name}.origin has {more[0]}; a retraining takes an origin's name and its place, "
            "the rest is as params.yaml says"
        )
    said = {"target_origin": origin.name}
    return said | ({"target_uri": str(origin.options[place])} if place else {})


def load(path: Path) -> Matrix:
    """The matrix in `path`.

    Raises:
        BadInput: the file is missing, is no YAML, has an unknown key or a value out of range; the text names the key.
    """
    try:
        size = path.stat().st_size
        if size > settings_file.MAX_SETTINGS_BYTES:
            raise BadInput(f"{path.name} has {size} bytes; {settings_file.MAX_SETTINGS_BYTES} at most would do")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(
            f"no {path.name} in {path.parent}; a fresh clone has one, and docs/compare.md says how"
        ) from None
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is not UTF-8 text") from None
    try:
        found = Matrix.model_validate(settings_file.mapping(text, path.name))
    except ValidationError as error:
        raise BadInput(f"{path.name}: {settings_file.explain(error, Matrix, '')}") from None
    if found.trainings > MOST:
        raise BadInput(f"{path.name} asks for {found.trainings} trainings; {MOST} at most would do")
    return found
