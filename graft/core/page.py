"""What every HTML page has in common: how templates are read, and the one script that may run in them."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup


@cache
def script() -> Markup:
    """The script that sorts, filters and enlarges: to stand in a page as it is."""
    return Markup(read("page.js"))


@cache
def policy() -> str:
    """A content security policy: nothing is fetched, and a script runs only if it is `script`, to the byte."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def template(text: str, filters: Mapping[str, Callable[..., Any]]) -> Any:
    """`text` as a template that escapes what it shows, refuses unknown names and may extend those of `graft.core`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    environment.globals |= {"script": script(), "policy": policy()}
    return environment.from_string(text)


def read(name: str) -> str:
    """The text of a template or script of `graft.core`."""
    return files("graft.core").joinpath(name).read_text(encoding="utf-8")
