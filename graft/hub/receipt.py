"""What a release is: the receipt that stands beside its files, written last and never again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from graft.core.errors import BadInput
from graft.hub import names, sealed

FORMAT = "graft-release/1"
MAX_FILES = 200
MAX_FILE_BYTES = 2_000_000_000
Version = Annotated[str, Field(pattern="^v[1-9][0-9]{0,8}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


P = TypeVar("P", bound="Part")


class Part(BaseModel):
    """Receipts come from outside: types are strict, and what is unknown is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class File(Part):
    """One file of a release: its size and the hash of its bytes."""

    bytes_: int = Field(alias="bytes", ge=0, le=MAX_FILE_BYTES)
    sha256: Sha256


class Model(Part):
    """What a runtime must know to use the release's file.

    Attributes:
        file: which of the release's files runs by default.
        modality: name and options of the plug-in that makes raw samples what the file takes.
        classes: labels, in the order of the file's output.
    """

    file: str
    modality: dict[str, Any]
    classes: tuple[str, ...] = Field(min_length=1, max_length=100_000)


class Replaced(Part):
    """The release that stood at the last stage when this one was published."""

    version: Version
    receipt: Sha256


class Published(Part):
    """Who and when."""

    at: datetime
    by: str = Field(max_length=200)


class Contents(Part):
    """All that a release says of itself; equal contents are one release.

    Attributes:
        name: of the model.
        stages: what it passes on its way, in order.
        gate: limits that a move to a later stage must keep; see graft.hub.gate.
        git: commit, and whether the files under version control were changed since.
        locks: sha256 of dvc.lock and of the environment's lock.
        data: by role: name, origin and the hash that DVC knows the data by.
        params: the whole of params.yaml.
        metrics: evaluation and export reports: accuracies in [0, 1], gains in points, intervals at 95 %.
    """

    name: str
    files: dict[str, File] = Field(min_length=1, max_length=MAX_FILES)
    model: Model
    stages: tuple[str, ...] = Field(min_length=1, max_length=10)
    gate: dict[str, float]
    git: dict[str, str | bool]
    locks: dict[str, str]
    data: dict[str, dict[str, Any]]
    params: dict[str, Any]
    metrics: dict[str, Any]

    @field_validator("files")
    @classmethod
    def _safe(cls, value: dict[str, File]) -> dict[str, File]:
        if bad := [name for name in value if not names.is_file(name)]:
            raise ValueError(f"{bad[0]!r} is no name for a file")
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("two files differ in case alone")
        return value

    @field_validator("stages")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a stage is named twice")
        return tuple(names.stage(one) for one in value)

    def digest(self) -> str:
        """Hash of the contents: what makes a second attempt the same release."""
        return sealed.sha256(sealed.seal(plain(self)))


class Receipt(Part):
    """A published release.

    Attributes:
        format: of this very document.
        version: "v3".
        replaces: see Replaced; null if none stood there.
    """

    format: str = Field(pattern=f"^{FORMAT}$")
    version: Version
    published: Published
    replaces: Replaced | None
    contents: Contents

    @property
    def name(self) -> str:
        """The model's name."""
        return self.contents.name


def plain(part: Part) -> dict[str, Any]:
    """`part` as JSON knows it."""
    return part.model_dump(mode="json", by_alias=True)


def write(receipt: Receipt) -> bytes:
    """The receipt as it is stored."""
    return sealed.seal(plain(receipt))


def read(data: bytes, where: str, name: str, version: str) -> Receipt:
    """The receipt in `data`, which must be that of `name` and `version`.

    Raises:
        BadInput: it is altered, of another release, or not of a format that this graft knows.
    """
    found = parse(Receipt, sealed.unseal(data, where), where)
    if (found.name, found.version) != (name, version):
        raise BadInput(f"{where} is altered: it is the receipt of {found.name}@{found.version}; {sealed.REMEDY}")
    return found


def parse(kind: type[P], value: Mapping[str, Any], where: str) -> P:
    """`value` as `kind`.

    Raises:
        BadInput: it does not fit; the text says where.
    """
    import json

    try:
        return kind.model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadInput(f"{where}: {place}: {first['msg']}; a newer graft may have written it") from None
