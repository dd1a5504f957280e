"""Where two nested mappings differ, key by key."""

from collections.abc import Iterator, Mapping
from typing import Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(dotted key, old, new) of each that differs, in the order of the old ones; a hyphen where one has none."""
    was, now = dict(flat(old)), dict(flat(new))
    keys = [*was, *(key for key in now if key not in was)]
    return [(key, _cell(was, key), _cell(now, key)) for key in keys if _cell(was, key) != _cell(now, key)]


def flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of all that is below."""
    for key, one in value.items():
        if isinstance(one, Mapping):
            yield from flat(one, f"{above}{key}.")
        else:
            yield f"{above}{key}", one


def _cell(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "-"
