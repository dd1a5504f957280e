"""The page as one text with its style and script in it, and the policy under which a browser runs it."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

PARTS = ("page.css", "page.js")


@cache
def text() -> str:
    """The page, the same for every release: it asks GET /model for the rest, and shows that as text."""
    whole = _read("page.html")
    for name in PARTS:
        whole = whole.replace(f"/* {name} */", _read(name))
    return whole


@cache
def policy(is_run_here: bool = False) -> str:
    """A content security policy: the page's own script and style, to the byte, and nobody to talk to but the server.

    Args:
        is_run_here: also scripts and WebAssembly that this server sends, to run the file in the browser.
    """
    style, script = (f"'{_hash(_read(name))}'" for name in PARTS)
    sent = " 'self' 'wasm-unsafe-eval'" if is_run_here else ""
    return (
        f"default-src 'none'; script-src {script}{sent}; style-src {style}; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(part: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return files("graft.serving").joinpath(name).read_text(encoding="utf-8")
