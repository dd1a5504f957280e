"""params.yaml read once, at the edge, into frozen types; changed in place; and what is wrong with it, by name."""

import difflib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from graft.core.errors import BadInput, UsageError, one_line
from graft.core.sections import Choice, Settings

MAX_SETTINGS_BYTES = 1_000_000
CHOICES = ("modality", "origin", "backbone", "objective", "method")
"""Keys under which a plug-in is chosen."""


def load(path: Path) -> Settings:
    """The settings in `path`.

    Raises:
        BadInput: the file is missing, is no YAML, has an unknown key or a value out of range; the text names the key.
    """
    text = _read(path)
    found = _parse(text, path.name)
    _readable_by_dvc(text, path.name)
    return found


def set_values(path: Path, assignments: list[str], check: Callable[[Settings], object]) -> list[str]:
    """Change `path` in place, keeping its comments; nothing is written unless the result is valid.

    Naming another plug-in (`finetune.method.name=linear_probe`) drops the options that belonged to the old one. A
    choice that is a bare name or URI becomes a mapping, as dvc.yaml asks for its name.

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
    if _spell_out(document) or changes:
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


def plain(path: Path) -> dict[str, Any]:
    """The whole file as plain mappings, lists, texts and numbers.

    Raises:
        BadInput: as `load` does.
    """
    load(path)
    return mapping(_read(path), path.name)


def mapping(text: str, where: str) -> dict[str, Any]:
    """The same of settings that an older or newer graft wrote: read, not checked.

    Raises:
        BadInput: `text` is no YAML mapping.
    """
    found: dict[str, Any] = _mapping(YAML(typ="safe", pure=True), text, where)
    return found


def _parse(text: str, where: str) -> Settings:
    try:
        return Settings.model_validate(_mapping(YAML(typ="safe", pure=True), text, where))
    except ValidationError as error:
        raise BadInput(f"{where}: {explain(error, Settings, '')}") from None


def _mapping(yaml: YAML, text: str, where: str) -> Any:
    try:
        document = yaml.load(text)
    except YAMLError as error:
        line, problem = _problem(error)
        raise BadInput(one_line(f"{where}{line}: not valid YAML: {problem}")) from None
    if not isinstance(document, dict):
        raise BadInput(f"{where} is empty or not a mapping; see params.yaml of a fresh clone")
    return document


def _problem(error: YAMLError) -> tuple[str, str]:
    """In which line, if it says so, and what."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    return line, str(getattr(error, "problem", None) or error).splitlines()[0]


def _readable_by_dvc(text: str, where: str) -> None:
    """DVC reads the file with libyaml, which takes YAML 1.1 alone: in `{uri: s3://x}` the second colon is an error."""
    try:
        YAML(typ="safe").load(text)
    except YAMLError as error:
        line, problem = _problem(error)
        raise BadInput(one_line(f"{where}{line}: DVC cannot read it: {problem}; put the value in quotes")) from None


def _assign(document: Any, text: str) -> str:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, got {one_line(text)!r}")
    try:
        value = _quoted(YAML().load(raw)) if raw.strip() else None
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
    if before == value and _kind(before) is _kind(value):
        return ""
    renames = last == "name" and bool(path) and path[-1] in CHOICES
    dropped = [other for other in node if other != "name"] if renames else []
    for other in dropped:
        del node[other]
    node[last] = value
    note = f" (and drops {', '.join(dropped)})" if dropped else ""
    return f"{key}: {_shown(before)} -> {_shown(value)}{note}"


def _kind(value: Any) -> type:
    return str if isinstance(value, str) else type(value)


def _quoted(value: Any) -> Any:
    """The same with quotes around texts that have a colon: see `_readable_by_dvc`."""
    if isinstance(value, dict):
        for key in value:
            value[key] = _quoted(value[key])
    elif isinstance(value, list):
        value[:] = [_quoted(one) for one in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and ":" in value else value


def _spell_out(node: Any) -> bool:
    """Give every choice below `node` its mapping; whether there was one to give."""
    found = False
    for key, value in node.items():
        if key in CHOICES and isinstance(value, str):
            choice = Choice.model_validate(value)
            node[key] = {"name": choice.name, **choice.options}
            found = True
        elif isinstance(value, dict):
            found = _spell_out(value) or found
    return found


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
