"""What is refused: a class for who can mend it, a line for a person."""

import pytest

from graft.core import errors
from graft.core.errors import BadInput, EnvironmentProblem, GateRefused, GraftError, UsageError, one_line


def test_the_class_decides_the_exit_code() -> None:
    kinds = (BadInput, GateRefused, UsageError, EnvironmentProblem)
    assert [kind.exit_code for kind in kinds] == [1, 1, 2, 3]
    assert all(issubclass(kind, GraftError) for kind in kinds)
    assert all(kind.__name__ in str(errors.__doc__) for kind in kinds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("café 玫瑰 🌹", "café 玫瑰 🌹"),
        ("a\r\nforged: line", "a\\r\\nforged: line"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\udcff", "\\udcff"),
        ("\u2028", "\\u2028"),
    ],
)
def test_a_text_stays_one_line_that_any_terminal_may_show(text: str, shown: str) -> None:
    assert one_line(text) == shown
    one_line(text).encode()


def test_a_long_text_is_cut_to_the_limit() -> None:
    assert one_line("x" * 20, 20) == "x" * 20
    assert one_line("x" * 21, 20) == "x" * 19 + "…"
