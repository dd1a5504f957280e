"""A table that names the pictures: columns path and label, and split and group if there are any."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.core.dataset import SPLITS
from graft.core.errors import BadInput, one_line
from tasks.origins._folder.listing import Entry

REQUIRED = ("path", "label")
COLUMNS = (*REQUIRED, "split", "group")
SAME = {"val": "validation", "valid": "validation"}

Line = tuple[str, dict[str, str]]
"""Where it stands ("line 7"), and its cells by column; a cell that is not there is ""."""


def entries(root: Path, manifest: str, data: bytes) -> list[Entry]:
    """The pictures that a table names, in its order.

    Args:
        root: what paths in the table are relative to.
        manifest: the table's name, for the error's text. Its suffix says what it is: parquet, or else CSV.
        data: the table's bytes.

    Raises:
        BadInput: the table is damaged or lacks a column, a row cannot be used, or a group asks for two splits. One
            line: the first problem, and how many more there are.
    """
    lines = list(_parquet(manifest, data) if manifest.lower().endswith(".parquet") else _csv(manifest, data))
    found: dict[str, Entry] = {}
    first_split: dict[str, tuple[str, str]] = {}
    problems = []
    for where, cells in lines:
        entry = _entry(cells)
        problem = _problem(root, entry, cells["path"])
        if not problem and entry.name in found:
            problem = f"path {cells['path']!r} comes twice"
        if not problem and entry.group and entry.split:
            before, split = first_split.setdefault(entry.group, (where, entry.split))
            if split != entry.split:
                problem = f"group {entry.group!r} is for {entry.split} here and for {split} in {before}"
        if problem:
            problems.append(f"{where}: {problem}")
        found.setdefault(entry.name, entry)
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise _refusal(manifest, one_line(problems[0], 250) + more)
    labels = sorted({entry.label for entry in found.values()})
    if len(labels) < 2:
        raise _refusal(manifest, f"needs at least 2 classes; found {one_line(', '.join(labels)) or 'none'}")
    return list(found.values())


def _entry(cells: dict[str, str]) -> Entry:
    name = "/".join(part for part in cells["path"].split("/") if part not in ("", "."))
    split = cells["split"].strip().lower()
    return Entry(name, cells["label"].strip(), SAME.get(split, split), cells["group"].strip())


def _problem(root: Path, entry: Entry, path: str) -> str:
    if path.startswith("/"):
        return f"path {path!r} is absolute; it should be relative to {str(root)!r}"
    if ".." in entry.name.split("/"):
        return f"path {path!r} has '..' in it; it should stay below {str(root)!r}"
    if not entry.name:
        return "path is empty"
    if not entry.label:
        return "label is empty"
    if entry.split not in ("", *SPLITS):
        return f"split is {entry.split!r}; it should be {', '.join(SPLITS)} or empty"
    if not os.path.lexists(root / entry.name):
        return f"path {path!r} names no file"
    return ""


def _csv(manifest: str, data: bytes) -> Iterator[Line]:
    try:
        text = data.decode("utf-8-sig")
        wrong = text.find("\0")
    except UnicodeDecodeError as error:
        text, wrong = "", error.start
    if wrong >= 0:
        line = data.count(b"\n", 0, wrong) + 1
        raise _refusal(manifest, f"line {line}: not UTF-8 text; save the table as CSV in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_columns(manifest, header)
        for row in reader:
            if row and len(row) != len(header):
                raise _refusal(manifest, f"line {reader.line_num}: {len(row)} fields; the header has {len(header)}")
            if row:
                cells = dict(zip(header, row, strict=True))
                yield f"line {reader.line_num}", {column: cells.get(column, "") for column in COLUMNS}
    except csv.Error as error:
        raise _refusal(manifest, f"line {reader.line_num}: no CSV: {error}") from None


def _parquet(manifest: str, data: bytes) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(pa.BufferReader(data)).names
        _check_columns(manifest, names)
        table = pq.read_table(pa.BufferReader(data), columns=[name for name in COLUMNS if name in names])
        rows = table.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _refusal(manifest, f"no parquet: {error}") from None
    for number, row in enumerate(rows, start=1):
        # null, and the NaN that pandas writes for it
        cells = {name: "" if value is None or value != value else str(value) for name, value in row.items()}
        yield f"row {number}", {column: cells.get(column, "") for column in COLUMNS}


def _check_columns(manifest: str, header: Iterable[str]) -> None:
    count: dict[str, int] = defaultdict(int)
    for name in header:
        count[name] += 1
    for column in COLUMNS:
        if count[column] > 1:
            raise _refusal(manifest, f"column {column} is there {count[column]} times")
        if column in REQUIRED and not count[column]:
            raise _refusal(manifest, f"no column {column}; columns here: {', '.join(header) or 'none'}")


def _refusal(manifest: str, text: str) -> BadInput:
    return BadInput(one_line(f"origin folder: {manifest}: {text}"))
