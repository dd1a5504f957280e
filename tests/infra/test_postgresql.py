"""The server's history in a real PostgreSQL: it is there again after a stop, and nobody's password is written down."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from graft.hub import releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from infra.server import Server
from infra.store import Local
from tests.conftest import Place, make_place, stop, wait_until
from tests.hub.little_release import draft

NAME = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
PASSWORD = "kept-to-itself-7Qz"


@dataclass(frozen=True)
class Database:
    """A PostgreSQL with a login and two databases."""

    port: int

    def url(self, password: str = PASSWORD, name: str = "prefect", port: int = 0) -> str:
        return f"postgresql+asyncpg://graft:{password}@127.0.0.1:{port or self.port}/{name}"


def program(name: str) -> str:
    """Where Debian keeps it, or the first of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(debian[-1]) if debian else shutil.which(name)
    return found or pytest.skip("PostgreSQL is not installed (Debian: postgresql)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def database() -> Iterator[Database]:
    folder, port = Path(tempfile.mkdtemp()), free_port()
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it will not run as root
    if user:
        shutil.chown(folder, "postgres")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    make = [program("initdb"), "-D", str(folder / "data"), "-U", "graft", "--auth=scram-sha-256"]
    made = subprocess.run(
        [*make, f"--pwfile={folder / 'password'}"], capture_output=True, text=True, check=False, cwd=folder, **user
    )  # type: ignore[call-overload]
    assert made.returncode == 0, made.stderr
    command = [program("postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **user)  # type: ignore[call-overload]
    try:
        wait_until(lambda: "ready to accept connections" in (folder / "log").read_text(), 60, "a PostgreSQL")
        for name in ("prefect", "other"):
            asyncio.run(create(port, name))
        yield Database(port)
    finally:
        stop(server)
        shutil.rmtree(folder)


async def create(port: int, name: str) -> None:
    connection = await asyncpg.connect(f"postgresql://graft:{PASSWORD}@127.0.0.1:{port}/postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


def on(place: Place, url: str) -> Place:
    return Place(place.root, place.environment | {NAME: url})


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_a_history_in_postgresql_outlives_the_server(database: Database, tmp_path: Path) -> None:
    place = make_place(tmp_path / "clone", tmp_path / "home")
    here = f"PostgreSQL 127.0.0.1:{database.port}/prefect"
    mine, free = on(place, database.url()), free_port()
    for url, told in {
        database.url(password="guessed"): f"{here}: password authentication failed",
        database.url(port=free): f"PostgreSQL 127.0.0.1:{free}/prefect: ",
        database.url(name="nothing"): f"PostgreSQL 127.0.0.1:{database.port}/nothing: database ",
        database.url().replace("+asyncpg", ""): f"{NAME} begins with postgresql://",
    }.items():
        refused = on(place, url).graft("up", "server")
        assert refused.returncode == 3 and refused.stderr.startswith(f"graft: {told}"), refused.stderr
        assert refused.stderr.count("\n") == 1 and "guessed" not in refused.stderr and PASSWORD not in refused.stderr
    try:
        done = mine.graft("up")
        assert done.returncode == 0, done.stderr
        assert f"server: history   in {here}" in done.stdout
        with closing(Bucket(Local(place.root / ".graft" / "store").store)) as bucket:
            stages.enter(bucket, releases.publish(bucket, *draft(tmp_path, 1)))
            stages.promote(bucket, reference("plants@v1"), "staging")
        run = place.graft("start", "promote", "model=plants", "version=v1", "stage=prod", "--wait")
        assert run.returncode == 0 and "plants@v1 now stands at prod" in run.stdout, run.stdout + run.stderr
        assert not (Server(place.root).home / "prefect.db").exists()
        down = place.graft("down")
        assert down.returncode == 0 and f"server: stopped; its history stays in {here}" in down.stdout, down.stderr
        for other, told in (
            (place, f"this workspace's Prefect history is in {here}, and prefect.db is asked for"),
            (on(place, database.url(name="other")), f"Prefect history is in {here}, and PostgreSQL"),
        ):
            refused = other.graft("up", "server")
            assert refused.returncode == 3 and told in refused.stderr and PASSWORD not in refused.stderr
        again = mine.graft("up")
        assert again.returncode == 0, again.stderr
        (kept,) = Server(place.root).ask(
            "POST", "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        )
        assert kept["name"] in run.stdout
        status = place.graft("status")
        assert status.returncode == 0 and f"server: history   {here}" in status.stdout, status.stdout
        assert "retrain   next run" in status.stdout
    finally:
        assert place.graft("down").returncode == 0
    for path in (place.root / ".graft").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
