"""Packages that graft does not come with: asked for before work begins, by the name that pip knows them under."""

from importlib.util import find_spec
from typing import NamedTuple


class Extra(NamedTuple):
    """One of graft's extras, and the modules that it brings."""

    name: str
    modules: tuple[str, ...]


def lacking(extra: Extra | None) -> str:
    """What is not installed of `extra` and what to type; "" if nothing is missing."""
    missing = [name for name in extra.modules if find_spec(name) is None] if extra else []
    return f"needs {', '.join(missing)}; type: pip install 'graft[{extra.name}]'" if extra and missing else ""
