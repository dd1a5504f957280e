"""Where the Prefect server keeps its history: a file in its folder, or the PostgreSQL that the environment tells.

The address of a PostgreSQL holds a password. It is handed on in the environment alone and never written down; what is
written down is which place it was, so that a start without it does not begin another history unnoticed.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from graft.core.errors import EnvironmentProblem, one_line

NAMES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
FILE = "prefect.db"
ANSWER_S = 10
SPARED = 'UPDATE automation_bucket SET "end" = {0} WHERE "end" < {0} AND automation_id IN '
SPARED += "(SELECT id FROM automation WHERE name LIKE 'graft: %')"


def named() -> str:
    """The address that the environment gives; "" for the file."""
    return next((os.environ[name] for name in NAMES if os.environ.get(name)), "")


def place(url: str) -> str:
    """Which database that is, without user and password.

    Raises:
        EnvironmentProblem: Prefect cannot use such an address here.
    """
    if not url:
        return FILE
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or ''}:{parts.port or 5432}"
    except ValueError as error:
        raise EnvironmentProblem(f"{NAMES[0]} is no address: {one_line(str(error))}") from None
    if parts.scheme != "postgresql+asyncpg" or not parts.path.strip("/"):
        raise EnvironmentProblem(
            f"{NAMES[0]} begins with {parts.scheme or 'nothing'}://; "
            "give postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE, or unset it for a file"
        )
    return f"PostgreSQL {where}/{parts.path.strip('/')}"


def check(home: Path, url: str, known: str, silence_s: float) -> None:
    """Look whether a server can start on it; runs that were silent while it was down get `silence_s` to speak.

    Args:
        known: the place of last time; "" if there was none.

    Raises:
        EnvironmentProblem: it is not the one of last time, or is missing, damaged, closed to this user, or silent.
    """
    now = place(url)
    if known and now != known:
        wanted = f"give its address in {NAMES[0]}" if known != FILE else f"unset {NAMES[0]}"
        raise EnvironmentProblem(
            f"this workspace's Prefect history is in {known}, and {now} is asked for; {wanted}, "
            f"or remove {home / 'database'} to begin there"
        )
    until = datetime.now(UTC) + timedelta(seconds=silence_s)
    if url:
        asyncio.run(_check_postgresql(url, now, bool(known), until))
    else:
        _check_file(home / FILE, bool(known), until)


def _check_file(path: Path, was_there: bool, until: datetime) -> None:
    cure = f"put a backup there, or move {path.name} and {path.with_name('database').name} away to begin a new history"
    if not path.exists():
        if was_there:
            raise EnvironmentProblem(f"{path}, Prefect's history, is missing; {cure}")
        return
    for one in (path, path.parent):
        if not os.access(one, os.R_OK | os.W_OK):
            raise EnvironmentProblem(f"{one} cannot be written by this user; mend its owner or mode")
    try:
        with closing(sqlite3.connect(path, timeout=ANSWER_S)) as database, database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if verdict == "ok" and {"automation", "automation_bucket"} <= tables:
                database.execute(SPARED.format("?1"), [until.replace(tzinfo=None).isoformat(" ")])
    except sqlite3.OperationalError as error:
        raise EnvironmentProblem(f"{path}: {error}; {cure}") from None
    except sqlite3.DatabaseError as error:
        raise EnvironmentProblem(f"{path}, Prefect's history, is damaged ({one_line(str(error))}); {cure}") from None
    if verdict != "ok":
        raise EnvironmentProblem(f"{path}, Prefect's history, is damaged ({one_line(str(verdict))}); {cure}")
    if was_there and not tables:
        raise EnvironmentProblem(f"{path}, Prefect's history, is empty; {cure}")


async def _check_postgresql(url: str, where: str, was_there: bool, until: datetime) -> None:
    import asyncpg  # type: ignore[import-untyped]

    cure = f"start it, or mend {NAMES[0]}"
    try:
        database = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=ANSWER_S, command_timeout=ANSWER_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise EnvironmentProblem(f"{where}: {one_line(str(error) or 'no answer')}; {cure}") from None
    try:
        if await database.fetchval("SELECT to_regclass('automation_bucket')"):
            await database.execute(SPARED.format("$1"), until)
        elif was_there:
            raise EnvironmentProblem(f"{where} is empty, and Prefect's history was in it; restore it from a backup")
    finally:
        await database.close()
