"""Names of models, versions and stages: checked before they become a key in the store or a path here."""

import re
from dataclasses import dataclass

from graft.core.errors import BadInput, one_line

_MODEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_STAGE = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
# Windows opens these whatever their suffix
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@dataclass(frozen=True)
class Reference:
    """What a person names: `plants@v3` or `plants@prod`.

    Attributes:
        model: name of the model.
        version: "v3", or "" where a stage is named.
        stage: "prod", or "" where a version is named.
    """

    model: str
    version: str = ""
    stage: str = ""

    def __str__(self) -> str:
        return f"{self.model}@{self.version or self.stage}"


def reference(text: str) -> Reference:
    """`NAME@VERSION` or `NAME@STAGE`.

    Raises:
        BadInput: it is neither.
    """
    name, at, what = text.partition("@")
    if not at:
        raise BadInput(f"{_shown(text)} names no version and no stage; write it like {_example(text)}@v3 or @prod")
    if _VERSION.fullmatch(what):
        return Reference(model(name), version=what)
    return Reference(model(name), stage=stage(what))


def model(name: str) -> str:
    """`name`, if it may name a model.

    Raises:
        BadInput: it may not.
    """
    if not _MODEL.fullmatch(name) or ".." in name or name.partition(".")[0] in _DEVICES:
        raise BadInput(
            f"{_shown(name)} is no name for a model; it takes 1 to 64 of a-z, 0-9, '.', '-' and '_', "
            "a letter or digit first and last"
        )
    return name


def stage(name: str) -> str:
    """`name`, if it may name a stage.

    Raises:
        BadInput: it may not, or it would be taken for a version.
    """
    if not _STAGE.fullmatch(name) or _VERSION.fullmatch(name) or name in _DEVICES:
        raise BadInput(
            f"{_shown(name)} is neither a version (v1, v2, ...) nor a name for a stage; "
            "that takes 1 to 32 of a-z, 0-9 and '-', a letter first"
        )
    return name


def version(name: str) -> str:
    """`name`, if it is a version.

    Raises:
        BadInput: it is none.
    """
    if not is_version(name):
        raise BadInput(f"{_shown(name)} is no version; versions are v1, v2, ...")
    return name


def is_version(name: str) -> bool:
    """Whether `name` is a version."""
    return bool(_VERSION.fullmatch(name))


def number(version: str) -> int:
    """3 for "v3"."""
    return int(version[1:])


def is_file(name: str) -> bool:
    """Whether `name` may name a file of a release: one part of a path, nothing hidden."""
    return bool(_FILE.fullmatch(name)) and ".." not in name and name.partition(".")[0].lower() not in _DEVICES


def _shown(text: str) -> str:
    return repr(one_line(text, 60))


def _example(text: str) -> str:
    return text if _MODEL.fullmatch(text) else "plants"
