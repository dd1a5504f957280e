"""A history that is missing, damaged, closed to this user or another one is told in a line before a server starts."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem
from infra import database

CURE = "; put a backup there, or move prefect.db and database away to begin a new history"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a history like Prefect's, in reach of other users."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    with closing(sqlite3.connect(folder / "prefect.db")) as made, made:
        made.execute("CREATE TABLE automation (id TEXT, name TEXT)")
        made.execute('CREATE TABLE automation_bucket (automation_id TEXT, "end" TIMESTAMP)')
        made.executemany("INSERT INTO automation VALUES (?, ?)", [("a", "graft: silent"), ("b", "somebody's")])
        made.executemany("INSERT INTO automation_bucket VALUES (?, ?)", [(one, "2020-01-01 00:00:00") for one in "ab"])
        made.executemany("INSERT INTO automation VALUES (?, ?)", [(str(one), "x" * 200) for one in range(500)])
    yield folder
    shutil.rmtree(folder)


def refusal(home: Path, url: str = "", known: str = "prefect.db") -> str:
    with pytest.raises(EnvironmentProblem) as refused:
        database.check(home, url, known, 90)
    assert "\n" not in str(refused.value) and refused.value.exit_code == 3
    return str(refused.value)


def test_runs_that_could_not_speak_while_it_was_down_get_time_to(home: Path) -> None:
    database.check(home, "", "prefect.db", 90)
    with closing(sqlite3.connect(home / "prefect.db")) as read:
        ends = dict(read.execute('SELECT automation_id, "end" FROM automation_bucket'))
    spared = datetime.fromisoformat(ends["a"]).replace(tzinfo=UTC) - datetime.now(UTC)
    assert 80 < spared.total_seconds() <= 90
    assert ends["b"] == "2020-01-01 00:00:00"  # a rule of somebody else


def test_a_missing_history_is_told_but_not_before_there_was_one(home: Path) -> None:
    (home / "prefect.db").unlink()
    assert refusal(home) == f"{home / 'prefect.db'}, Prefect's history, is missing{CURE}"
    database.check(home, "", "", 90)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda bytes_: bytes_[:4096] + b"\0" * 4096 + bytes_[8192:], "is damaged"),
        (lambda bytes_: bytes_[: len(bytes_) // 2], "is damaged"),
        (lambda bytes_: b"not a database at all" * 100, "is damaged (file is not a database)"),
        (lambda bytes_: b"", "is empty"),
    ],
)
def test_a_damaged_history_is_told(home: Path, harm: object, told: str) -> None:
    path = home / "prefect.db"
    path.write_bytes(harm(path.read_bytes()))  # type: ignore[operator]
    said = refusal(home)
    assert said.startswith(f"{path}, Prefect's history, {told}") and said.endswith(CURE)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else for a while")
@pytest.mark.parametrize("closed", ["prefect.db", "."])
def test_a_history_of_somebody_else_is_told(home: Path, closed: str) -> None:
    (home / "prefect.db").chmod(0o444 if closed == "prefect.db" else 0o666)
    home.chmod(0o555 if closed == "." else 0o777)
    os.setresuid(65534, 65534, 0)
    try:
        said = refusal(home)
    finally:
        os.setresuid(0, 0, 0)
    assert said == f"{home / closed} cannot be written by this user; mend its owner or mode"


def test_a_database_elsewhere_is_not_taken_by_accident(home: Path) -> None:
    url = "postgresql+asyncpg://graft:hidden@db.example:5433/prefect"
    assert database.place(url) == "PostgreSQL db.example:5433/prefect"
    said = refusal(home, url)
    assert said.startswith("this workspace's Prefect history is in prefect.db, and PostgreSQL db.example:5433/prefect")
    assert "unset PREFECT_SERVER_DATABASE_CONNECTION_URL" in said and "hidden" not in said
    said = refusal(home, "", "PostgreSQL db.example:5433/prefect")
    assert "give its address in PREFECT_SERVER_DATABASE_CONNECTION_URL" in said


@pytest.mark.parametrize(
    "url", ["postgres://u:hidden@h/d", "postgresql+asyncpg://u:hidden@h", "h/d", "sqlite:///x", "a://u:hidden@h:x/d"]
)
def test_an_address_that_prefect_cannot_use_is_told_without_its_password(home: Path, url: str) -> None:
    said = refusal(home, url, "")
    assert said.startswith("PREFECT_SERVER_DATABASE_CONNECTION_URL ") and "hidden" not in said
