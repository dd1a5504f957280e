"""The form of a deployment, filled in on a command line: KEY=VALUE, checked against the form before anything starts."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

from graft.core.errors import BadInput, UsageError, one_line


def filled_in(schema: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values of the fields that `assignments` name, in the types that `schema` (JSON Schema) gives them.

    Raises:
        UsageError: no KEY=VALUE, no such field, one twice, or one left out that must be there.
        BadInput: a value that its field does not take.
    """
    fields, found = schema.get("properties", {}), {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise UsageError(f"'{one_line(assignment, 60)}' is not KEY=VALUE; keys: {', '.join(fields)}")
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"'{one_line(name, 60)}' is no field; {meant}fields: {', '.join(fields)}")
        if name in found:
            raise UsageError(f"{name} is given twice")
        found[name] = _checked(name, fields[name], text)
    if missing := [name for name in schema.get("required", ()) if name not in found]:
        raise UsageError(f"{', '.join(missing)} must be given: {fields[missing[0]].get('description', '')}")
    return found


def _checked(name: str, field: dict[str, Any], text: str) -> Any:
    value, wanted = _typed(field.get("type", "string"), text), _wanted(field)
    if value is None or not _fits(field, value):
        raise BadInput(f"{name} is '{one_line(text, 60)}'; {wanted} would do")
    return value


def _typed(kind: str, text: str) -> Any:
    """`text` as a value of that type; None if it is none."""
    if kind == "integer":
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    return text if kind == "string" else None


def _fits(field: dict[str, Any], value: Any) -> bool:
    if "enum" in field and value not in field["enum"]:
        return False
    if isinstance(value, str):
        fits = re.search(field.get("pattern", ""), value) is not None
        return fits and len(value) <= field.get("maxLength", len(value))
    return bool(field.get("minimum", value) <= value <= field.get("maximum", value))


def _wanted(field: dict[str, Any]) -> str:
    """What the field takes, in words."""
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if field.get("type") == "boolean":
        return "true or false"
    if field.get("type") == "integer":
        limits = [f"{word} {field[name]}" for word, name in (("from", "minimum"), ("to", "maximum")) if name in field]
        return " ".join(["a whole number", *limits])
    limits = [f"of at most {field['maxLength']} characters"] if "maxLength" in field else []
    limits += [f"that matches {field['pattern']}"] if "pattern" in field else []
    return " ".join(["text", *limits])
