"""What may stand in params.yaml: frozen types that refuse unknown keys and out-of-range values."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graft.core.recipe import Recipe

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
    """One side of the transfer: where its pictures come from.

    Attributes:
        inbox: whether those that `graft inbox add` sent to the store are taken, too.
    """

    name: DomainName
    origin: Choice
    inbox: bool = False


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


class Tuned(Section):
    """A training whose learning rate is chosen from several."""

    learning_rates: tuple[Rate, ...] = Field(max_length=16)
    folds: int = Field(default=0, description="of a cross-validation that chooses the rate; 0: validation rows do")
    training: Recipe = Recipe()

    @field_validator("folds")
    @classmethod
    def _some_folds(cls, value: int) -> int:
        if value != 0 and not 2 <= value <= 20:
            raise ValueError("should be 0 or 2 to 20")
        return value

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


class Pretrain(Tuned):
    """The backbone and how it learns from the source."""

    backbone: Choice
    objective: Choice
    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rates: tuple[Rate, ...] = Field(default=(), max_length=16, description="none: the objective's own")
    unlabelled: Literal["source", "target"] = Field(
        default="source", description="whose pictures fill half of each batch of an objective without labels"
    )


class Train(Section):
    """How pretraining uses the hardware. The same settings serve one device, several, and several machines.

    Attributes:
        strategy: auto takes the machines that TF_CONFIG names, else all graphics cards of this one.
        data: where its pictures are read from: packed here, or in shards in the store (`graft shards`).
        accumulate: each batch is learned in so many parts, one after the other; their mean moves the weights.
    """

    data: Literal["packed", "store"] = "packed"
    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = "auto"
    workers: int = Field(default=2, ge=2, le=64, description="of multi_worker, here, where TF_CONFIG names none")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    accumulate: int = Field(default=1, ge=1, le=4096)


class Finetune(Tuned):
    """How the backbone is adapted to the target; the scratch net gets the same budget."""

    method: Choice
    labels_per_class: Literal["all"] | Annotated[int, Field(ge=1, le=1_000_000)]
    steps: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rates: tuple[Rate, ...] = Field(min_length=1, max_length=16)
    evaluations: int = Field(ge=1, le=10_000)
    unlabelled: Literal["rest", "none"] = "rest"
    max_unlabelled: int = Field(default=20_000, ge=1, le=10_000_000)
    views: int = Field(default=0, ge=0, le=16, description="beside the picture as it is, whose answers are averaged")
    smaller: tuple[Choice, ...] = Field(
        default=(), max_length=8, description="methods that make variants of the net that ships; a training for each"
    )

    @field_validator("smaller", mode="before")
    @classmethod
    def _choices_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("smaller")
    @classmethod
    def _different_variants(cls, value: tuple[Choice, ...]) -> tuple[Choice, ...]:
        if any(one in value[:index] for index, one in enumerate(value)):
            raise ValueError("should have other options in each variant of one method")
        return value

    @property
    def variants(self) -> dict[str, Choice]:
        """`smaller` by name: the method's, numbered from the second of the same method on (pruned, pruned-2)."""
        named: dict[str, Choice] = {}
        for index, one in enumerate(self.smaller):
            before = sum(other.name == one.name for other in self.smaller[:index])
            named[f"{one.name}-{before + 1}" if before else one.name] = one
        return named

    @property
    def per_class(self) -> int | None:
        """`labels_per_class` as a number, None for all."""
        return None if self.labels_per_class == "all" else self.labels_per_class


class Evaluate(Section):
    """Seeds of the comparison (a count or a list), the draws behind its intervals, and what counts as nearly right.

    Attributes:
        top_k: for top_k_accuracy the true class is to be among so many of the most probable.
    """

    seeds: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = Field(min_length=1, max_length=100)
    bootstrap: int = Field(ge=100, le=1_000_000)
    top_k: int = Field(default=3, ge=1, le=100)
    layers: int = Field(
        default=0,
        ge=0,
        le=100,
        description="seeds that measure how far each block carries over: many trainings; 0: none",
    )

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

    @model_validator(mode="after")
    def _enough_seeds(self) -> Self:
        if self.layers > len(self.seeds):
            raise ValueError(f"should have layers of 0 to {len(self.seeds)}, as many seeds as there are")
        return self


class Format(Choice):
    """A format and its options; what its file may lose, where that is not what `Export` says of all."""

    min_agreement: float | None = Field(default=None, ge=0, le=1, strict=True)
    max_accuracy_drop_points: float | None = Field(default=None, ge=0, le=100, strict=True)


class Prefer(Section):
    """Which of the files that passed is the one that runs: of those within so many points of the best, this one."""

    name: Literal["first", "smallest", "fastest"] = "first"
    within_points: float = Field(default=1.0, ge=0, le=100, description="of the most accurate file's accuracy")


class Export(Section):
    """The files to write, what they may lose against the Keras model, and which of them runs.

    Attributes:
        hard_stop_points: a float file that loses more accuracy than this stops the stage: something is wrong with all
            of it; no file may be allowed more.
    """

    formats: tuple[Format, ...] = Field(min_length=1, max_length=16)
    min_agreement: float = Field(ge=0, le=1)
    max_accuracy_drop_points: float = Field(ge=0, le=100)
    hard_stop_points: float = Field(default=2.0, ge=0, le=100)
    prefer: Prefer = Prefer()
    licence: str = Field(default="", max_length=200, description="of the model, written into each file")

    @field_validator("formats", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _stops_last(self) -> Self:
        allowed = [self.max_accuracy_drop_points, *(one.max_accuracy_drop_points or 0.0 for one in self.formats)]
        if max(allowed) > self.hard_stop_points:
            raise ValueError(f"should have a hard_stop_points of at least {max(allowed):g}, as much as a file may lose")
        return self


class Curve(Section):
    """Accuracy over labels per class: whether it is measured, with how many labels, and from how many seeds."""

    enabled: bool = False
    labels: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(5, 10, 20, 40, 80), min_length=1, max_length=16, description="that of finetune comes along"
    )
    seeds: int = Field(default=3, ge=1, le=100, description="at the most; the first of evaluate.seeds")

    @field_validator("labels", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Publish(Section):
    """The stages of a release, in order, and what it must keep to move past the first."""

    stages: tuple[Annotated[str, Field(pattern=r"^[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?$")], ...] = Field(
        min_length=1, max_length=10
    )
    max_drop_points: float = Field(ge=0, le=100)
    min_gain_points: float = Field(ge=-100, le=100)

    @field_validator("stages", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("stages")
    @classmethod
    def _sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("should name each stage once")
        if any(re.fullmatch("v[0-9]+", name) for name in value):
            raise ValueError("should not name a stage like a version: v1, v2, ...")
        return value


class Retrain(Section):
    """When a challenger may take the place of the model that is live."""

    margin_points: float = Field(ge=0, le=100)
    max_file_mb: float = Field(gt=0, le=10_000)
    max_latency_ratio: float = Field(gt=0, le=1_000)
    curve: bool = Field(default=True, description="measure accuracy over labels per class, whatever curve.enabled says")


class Settings(Section):
    """Everything that changes a result."""

    seed: int = Field(ge=0, le=2**31 - 1)
    data: Data
    validate_: Validate = Field(alias="validate")
    extract: Extract
    train: Train = Train()
    pretrain: Pretrain
    finetune: Finetune
    evaluate: Evaluate
    curve: Curve = Curve()
    export: Export
    publish: Publish
    retrain: Retrain
