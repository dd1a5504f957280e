"""The store of a workspace: SeaweedFS with everything it has in `.graft/store`, unless the environment names another.

credentials   two keys, made once: `graft` may do everything, `reader` what policies.py says
store.json    endpoint, bucket, region and profile for whoever looks for it; the ports, which stay
s3.json       the keys as the server wants them
process.json  the server that runs, if one does
data/ log     its objects; what it says
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import EnvironmentProblem, PromisesBroken, one_line
from graft.hub import conformance, local
from graft.hub.store import Store, check, client, environment, explained, from_environment, of_connection
from infra import bucket, keys, policies, process, weed
from infra.files import alone, make_private, write_private
from infra.remote import Remote
from infra.service import Service, State

BUCKET = "graft"
EVERYTHING = ("Admin", "Read", "Write", "List", "Tagging")
UP_WITHIN_S, DOWN_WITHIN_S = 60, 15
PATIENCE_S = 2 * UP_WITHIN_S
POLL_S = 0.1
NEEDED_MB = 500


def of(root: Path) -> Service:
    """The store that the workspace `root` uses."""
    own = Local(root / local.FOLDER)
    named = from_environment() if os.environ.get("GRAFT_BUCKET") else None
    return own if named is None or own.is_at(named) else Remote(named)


@dataclass(frozen=True)
class Local:
    """SeaweedFS in `folder`, as a Service."""

    folder: Path
    name: str = "store"

    def start(self) -> list[str]:
        """Start the server, unless it runs; its data and keys stay from one start to the next.

        Raises:
            PromisesBroken: it does not keep its promises, and was stopped again.
            EnvironmentProblem: SeaweedFS is not installed, does not start, or has no room.
        """
        weed.program()
        make_private(self.folder)
        try:
            with alone(self._lock, PATIENCE_S):
                return self._start()
        except OSError as error:  # a full disk, files of another user
            raise EnvironmentProblem(f"{error.filename or self.folder}: {error.strerror}; mend that first") from None

    def stop(self) -> list[str]:
        if not self.folder.exists():
            return ["there is none yet; graft up starts one"]
        with alone(self._lock, PATIENCE_S):
            stopped = process.stop(self._record, DOWN_WITHIN_S)
            weed.remove_sockets(self.folder, self._ports())
        return [f"stopped; its data stay in {self.folder}" if stopped else "was not up"]

    def state(self) -> State:
        if not local.connection_file(self.folder).exists():
            return State(False, {"state": "down: never started here; type: graft up", "store": "local"})
        server = process.running(self._record)
        facts = {"store": "local", "endpoint": self.store.endpoint, "bucket": self.store.bucket}
        used = sum(path.lstat().st_blocks * 512 for path in (self.folder / "data").rglob("*"))
        room = {"on disk": _size(used), "free": _size(shutil.disk_usage(self.folder).free)}
        if server is None:
            return State(False, {"state": "down; type: graft up", **facts, **room})
        try:
            check(self.store)
        except EnvironmentProblem as error:
            return State(False, {"state": f"down: process {server.pid} does not serve: {error}", **facts, **room})
        return State(True, {"state": "up", **facts, "up for": f"{time.time() - server.since:.0f} s", **room})

    def environment(self) -> dict[str, str]:
        if not local.connection_file(self.folder).exists():
            raise EnvironmentProblem("this workspace has no store yet; type: graft up")
        return environment(self.store)

    @property
    def store(self) -> Store:
        """How it is reached, once it was started."""
        own = local.read(self.folder)
        if own is None:
            raise EnvironmentProblem(f"{local.connection_file(self.folder)} is missing; type: graft up")
        return of_connection(own)

    def is_at(self, other: Store) -> bool:
        """Whether `other`, which the environment names, is this one."""
        said = self._said()
        return (said.get("bucket"), said.get("endpoint")) == (other.bucket, other.endpoint)

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _said(self) -> dict[str, Any]:
        try:
            said = json.loads(local.connection_file(self.folder).read_bytes())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _ports(self) -> list[int]:
        """The ports that were chosen before; [] if none were."""
        said = self._said().get("ports")
        if not isinstance(said, list) or len(said) != weed.PORTS:
            return []
        return [port for port in said if isinstance(port, int)]

    def _start(self) -> list[str]:
        if process.running(self._record):
            if not local.credentials_file(self.folder).exists():
                raise EnvironmentProblem(
                    f"{local.credentials_file(self.folder)} is gone; type: graft down, then graft up (the keys are new)"
                )
            self._wait(_listen)
            return [f"already up at {self.store.endpoint}, bucket {self.store.bucket}"]
        self._start_server()
        self._wait(_listen)
        done = bucket.set_up(self.store)
        self._wait(_keep)
        return [f"up at {self.store.endpoint}", *done, self._promises()]

    def _start_server(self) -> None:
        free_mb = shutil.disk_usage(self.folder).free // 1_000_000
        if free_mb < NEEDED_MB:
            raise EnvironmentProblem(f"{free_mb} MB are free in {self.folder}; the store wants {NEEDED_MB}: free some")
        known = keys.of(self.folder)
        weed.remove_sockets(self.folder, self._ports())
        ports = self._ports()
        if len(ports) != weed.PORTS or not weed.are_free(ports):
            ports = weed.free_ports()
        said = {"endpoint": weed.endpoint(ports), "bucket": BUCKET, "region": local.REGION, "profile": local.PROFILE}
        config = self.folder / "s3.json"
        may = {local.PROFILE: EVERYTHING, "reader": policies.of_reader(BUCKET)}
        write_private(config, weed.identities(known, may))
        self._say(self._said() | said | {"ports": ports})
        (self.folder / "data").mkdir(exist_ok=True)
        command = weed.command(self.folder, ports, config)
        process.start(command, self.folder, self._record, self._log, weed.environment(self.folder))

    def _wait(self, ask: Callable[[Any], object]) -> None:
        """Until the server answers `ask`.

        Raises:
            EnvironmentProblem: it ended, or does not answer in time.
        """
        store, end = self.store, time.monotonic() + UP_WITHIN_S
        s3 = client(store)
        while True:
            try:
                with explained(store, ""):
                    ask(s3)
                    return
            except EnvironmentProblem as error:
                if process.running(self._record) is None:
                    raise EnvironmentProblem(f"the store ended: {self._last_words()}; {self._log} says more") from None
                if time.monotonic() > end:
                    raise EnvironmentProblem(f"{error}; or look into {self._log}, and type: graft down") from None
                time.sleep(POLL_S)

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return one_line((lines or ["it said nothing"])[-1], 200)

    def _promises(self) -> str:
        """Tried once per release of SeaweedFS: those who lose a race there wait for seconds."""
        every, said, release = len(conformance.PROMISES), self._said(), weed.release()
        if said.get("kept_by") == release:
            return f"promises: all {every} kept when this SeaweedFS was first started"
        try:
            conformance.require(self.store)
        except PromisesBroken:
            process.stop(self._record, DOWN_WITHIN_S)
            raise
        self._say(said | {"kept_by": release})
        return f"promises: all {every} kept"

    def _say(self, said: dict[str, Any]) -> None:
        write_private(local.connection_file(self.folder), json.dumps(said, indent=2) + "\n")


def _listen(s3: Any) -> None:
    s3.list_buckets()


def _keep(s3: Any) -> None:
    """After a restart objects cannot be read until the part that keeps them has made itself known, seconds later."""
    there = {"Bucket": BUCKET, "Key": f"{conformance.PREFIX}/ready"}
    written = s3.put_object(**there, Body=b"ready")
    s3.delete_object(**there, VersionId=written["VersionId"])


def _size(bytes_: int) -> str:
    return f"{bytes_ / 1e6:.0f} MB" if bytes_ < 10e9 else f"{bytes_ / 1e9:.0f} GB"
