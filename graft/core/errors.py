"""Everything graft refuses, as one small tree. The message is one line for a person; the class says who can mend it.

GraftError                exit code
├── BadInput              1   settings, data or a file are not usable as they are
├── GateRefused           1   the work was done and the result is not good enough
│   └── DataRejected      1   the data gate stops the run, a line per rule
├── UsageError            2   the command line itself is wrong
└── EnvironmentProblem    3   store, server, registry, disk: not here, not now
    └── PromisesBroken    3   the store answers and is not to be relied on, a line per promise
"""

from collections.abc import Sequence


class GraftError(Exception):
    """One line: which setting, file or object; what was found; what would do."""

    exit_code = 1


class BadInput(GraftError):
    """Settings, data or a file cannot be used as they are."""


class GateRefused(GraftError):
    """A measured result is worse than the settings allow."""


class DataRejected(GateRefused):
    """The data are not to be trained on; one line per rule that says so."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(one_line(line, 500) for line in lines))


class UsageError(GraftError):
    """The command line is wrong."""

    exit_code = 2


class EnvironmentProblem(GraftError):
    """A store, server, registry or disk is unavailable."""

    exit_code = 3


class PromisesBroken(EnvironmentProblem):
    """A store does not do what releases rest on; one line per promise. As DataRejected, a message of several lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(one_line(line, 500) for line in lines))


def one_line(text: str, limit: int = 300) -> str:
    """`text` with control characters escaped (no forged log lines, no ANSI) and cut to `limit` characters."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def message(error: GraftError) -> str:
    """The error's text, fit for a terminal: one line, or one per rule of the data gate or promise of a store."""
    return str(error) if isinstance(error, DataRejected | PromisesBroken) else one_line(str(error), 2000)
