"""Files and folders appear whole or not at all: written aside, then renamed."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A temporary file path beside `path`; renamed to it when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """An empty temporary folder beside `path`; takes its place when the block ends well.

    What an earlier, killed run left beside it is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.mkdir()
    try:
        yield aside
        if path.exists():
            shutil.rmtree(path)
        os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what killed runs left half written in `folders`. Only while no other run can be at work there."""
    for left in [left for folder in folders for left in folder.glob(".*.part")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON. NaN is refused: it is no JSON."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in `path`.

    Raises:
        BadInput: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path.name} is missing from {path.parent}; an earlier stage makes it: graft run") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path} is damaged ({error}); remove it and type: graft run") from None


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write `rows` as CSV, empty where a row lacks a key. Texts that a spreadsheet would execute are defused."""
    import csv

    names = list(dict.fromkeys(name for row in rows for name in row)) or ["empty"]

    with written_aside(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows({key: _defused(value) for key, value in row.items()} for row in rows)


def _defused(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
