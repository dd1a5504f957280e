"""Tables for Prefect's pages: names that came with the data are text there, and long tables end."""

import pytest

from tasks import tables
from tasks.tables import plain


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("christmas-tree", "christmas-tree"),
        ("[x](javascript:alert(1))", "\\[x\\](javascript\\:alert(1))"),
        ("http://x.example www.x.example a@x.example", "http\\://x.example www\\.x.example a\\@x.example"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("\\[x](y)", "\\\\\\[x\\](y)"),
        ("two\nlines\x1b[31m", "two\\\\nlines\\\\x1b\\[31m"),
        ("y" * 100, "y" * 59 + "…"),
    ],
)
def test_a_name_is_shown_and_never_followed(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_a_table_of_very_many_classes_says_how_many_more() -> None:
    rows = [{"role": "target", "class": str(number), "pictures": 1} for number in range(tables.MOST + 5)]
    cut = tables._cut(rows)
    assert len(cut) == tables.MOST + 1
    assert cut[-1] == {"role": "", "class": "and 5 classes more", "pictures": ""}
    assert tables._cut(rows[: tables.MOST]) == rows[: tables.MOST]
