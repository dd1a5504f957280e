"""What DVC's own files say: the objects that dvc.lock refers to, and where a cache and a remote keep them.

DVC names an object by the MD5 of its bytes, and a folder by that of a JSON list of its files, with ".dir" after it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from graft.core.errors import BadInput, one_line

_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")
_OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")


@dataclass(frozen=True)
class Item:
    """An object that an output consists of.

    Attributes:
        name: 32 hex digits; a folder's list has ".dir" behind them.
        path: the file or folder in the workspace.
        needed: whether it has to be kept; git keeps the others (`cache: false`), DVC's run cache alone looks for them.
    """

    name: str
    path: str
    needed: bool

    @property
    def is_folder(self) -> bool:
        return self.name.endswith(".dir")

    @property
    def md5(self) -> str:
        return self.name[:32]

    @property
    def key(self) -> str:
        """Where it lies below a cache or a remote."""
        return f"files/md5/{self.name[:2]}/{self.name[2:]}"

    @property
    def title(self) -> str:
        """How to call it to a person."""
        return f"{self.path} (object {self.name})"


@dataclass(frozen=True)
class Run:
    """A run that DVC remembers: where its record lies, and the names of the objects that it made."""

    key: str
    made: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return f"a run's record ({self.key})"


def outputs(root: Path) -> list[Item]:
    """Every output that dvc.lock knows; of a folder, the list alone.

    Raises:
        BadInput: dvc.lock is missing, or no such file.
    """
    stages = _yaml(root / "dvc.yaml", "stages")
    kept_by_git = _not_cached(stages)
    locked = _yaml(root / "dvc.lock", "stages").items()  # it also remembers stages that are no more
    found = [out for name, stage in locked if name.partition("@")[0] in stages for out in stage.get("outs") or ()]
    try:
        return [Item(_name(out["md5"]), str(out["path"]), str(out["path"]) not in kept_by_git) for out in found]
    except (KeyError, TypeError):
        raise BadInput(
            "dvc.lock names an output without its md5; git checkout dvc.lock brings back a good one"
        ) from None


def locked(text: str) -> list[Item]:
    """Every output that the text of a dvc.lock names, whatever dvc.yaml says; of a folder, the list alone.

    One that cannot be read names nothing.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = YAML(typ="safe").load(text)["stages"].values()
        found = [out for stage in stages for out in stage.get("outs") or ()]
        return [Item(_name(out["md5"]), str(out["path"]), True) for out in found]
    except (YAMLError, KeyError, TypeError, AttributeError):
        return []


def files(folder: Item, listing: bytes) -> list[Item]:
    """The files of a folder, as its `.dir` object lists them.

    Raises:
        BadInput: it is no such list, or names a file outside the folder.
    """
    try:
        rows = [(_name(row["md5"]), str(row["relpath"])) for row in json.loads(listing)]
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{folder.title} is no list of files; see what is damaged with: graft audit") from None
    for _, path in rows:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise BadInput(f"{folder.title} names a file outside it: {one_line(path, 100)}")
    return [Item(name, f"{folder.path}/{path}", folder.needed) for name, path in rows]


def runs(cache: Path) -> Iterator[Run]:
    """The runs that a cache remembers; a record that cannot be read is none."""
    for path in sorted((cache / "runs").glob("??/*/*")):
        try:
            outs = _yaml(path, "outs")
            yield Run(path.relative_to(cache).as_posix(), frozenset(_name(out["md5"]) for out in outs))
        except (BadInput, KeyError, TypeError):
            continue


def is_sound_run(key: str, record: Path) -> bool:
    """Whether a run's record, kept at `key`, is what DVC wrote there: its name is a hash of what it says."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        said = YAML(typ="safe").load(record.read_text(encoding="utf-8"))
        text = json.dumps(_without_sizes(said), sort_keys=True)
    except (YAMLError, UnicodeDecodeError, TypeError, ValueError):
        return False
    return hashlib.sha256(text.encode()).hexdigest() == PurePosixPath(key).name


def _without_sizes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_sizes(one) for name, one in value.items() if name not in ("size", "nfiles")}
    return [_without_sizes(one) for one in value] if isinstance(value, list) else value


def kept(cache: Path) -> list[str]:
    """The names of all objects in a cache."""
    return [name for path in sorted((cache / "files" / "md5").glob("??/*")) if (name := name_of(_below(path, cache)))]


def name_of(key: str) -> str:
    """The object that a key below a cache or a remote stands for; "" if it is none."""
    match = _OBJECT.fullmatch(key)
    return "".join(match.groups()) if match else ""


def _below(path: Path, cache: Path) -> str:
    return path.relative_to(cache).as_posix()


def _name(text: Any) -> str:
    if not _NAME.fullmatch(str(text)):
        raise KeyError(text)
    return str(text)


def _not_cached(stages: dict[str, Any]) -> set[str]:
    """Paths of the outputs that dvc.yaml marks `cache: false`."""
    listed = [
        entry for stage in stages.values() for kind in ("outs", "metrics", "plots") for entry in stage.get(kind) or ()
    ]
    marked = [pair for entry in listed if isinstance(entry, dict) for pair in entry.items()]
    return {path for path, options in marked if isinstance(options, dict) and options.get("cache") is False}


def _yaml(path: Path, section: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))[section]
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; graft run makes it, or get it with git") from None
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise BadInput(
            f"{path} cannot be used (no {section} in it); git checkout {path.name} brings back a good one"
        ) from None
