"""kill -9 at every request of every command: what is there stays whole, and the same command finishes the work."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from graft.hub import stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tests.hub import child, oracle
from tests.hub.little_release import draft, published
from tests.relay import Relay, relay

COMMANDS = ("publish", "promote", "rollback", "pull")
FEW = {"publish": (2, 5, 9), "promote": (3, 13), "rollback": (10,), "pull": (4,)}
"""Requests at which the ordinary tests kill; the sweep kills at every one."""


@dataclass
class Killer:
    """Kills `process` when its n-th request comes in, or when the answer to its n-th request would go back."""

    nth: int
    answered: bool
    process: child.Child | None = None
    seen: int = 0
    lock: Lock = field(default_factory=Lock)

    def __call__(self, told: str, answered: bool) -> bool:
        if answered != self.answered:
            return True
        with self.lock:
            self.seen += 1
            due = self.seen == self.nth
        if due and self.process:
            self.process.kill()
        return not due


def prepare(bucket: Bucket, folder: Path, model: str) -> None:
    """v1 stood at prod and v2 stands there; v3 waits at staging."""
    for seed in (1, 2, 3):
        version = published(bucket, folder, seed, name=model).receipt.version
        for stage in ("staging", "prod") if seed < 3 else ("staging",):
            stages.promote(bucket, reference(f"{model}@{version}"), stage)


def command(verb: str, folder: Path, model: str) -> child.Command:
    return {
        "publish": ("publish", str(folder), model, "4"),
        "promote": ("graft", "promote", f"{model}@v3", "prod"),
        "rollback": ("graft", "rollback", model),
        "pull": ("graft", "pull", f"{model}@prod", "-o", str(folder / f"pulled-{model}")),
    }[verb]


def check_pulled(folder: Path, model: str, required: bool) -> None:
    """A folder that has its final name holds a whole release, and scratch is gone after a pull that ended well."""
    cached = list((folder / f"cache-{model}").glob("releases/*/models/*/v*"))
    outside = [path for path in (folder / f"pulled-{model}",) if path.exists()]
    assert not required or len(cached) == len(outside) == 1
    for path in (*cached, *outside):
        files = draft(folder, 2, name=model)[1]
        assert {one.name for one in path.iterdir()} == {*files, "receipt.json"}
        assert all((path / name).read_bytes() == file.read_bytes() for name, file in files.items())
    if required:
        assert [path.name for path in folder.rglob("*.part")] == []


class Trial:
    """One model, one command, one kill."""

    def __init__(self, bucket: Bucket, between: Relay, folder: Path, verb: str, model: str) -> None:
        self.bucket, self.between, self.folder, self.verb, self.model = bucket, between, folder, verb, model
        prepare(bucket, folder, model)
        self.before = oracle.everything(bucket, model)

    def start(self) -> child.Child:
        environment = {
            "AWS_ENDPOINT_URL_S3": self.between.endpoint,
            "GRAFT_CACHE": str(self.folder / f"cache-{self.model}"),
        }
        return child.start(self.folder, *command(self.verb, self.folder, self.model), **environment)

    def killed(self, nth: int, answered: bool) -> str:
        """What it printed until it was killed; "" too if it ended before its n-th request."""
        killer = Killer(nth, answered)
        with killer.lock:  # its first request waits until it is known whom to kill
            self.between.step = killer
            killer.process = self.start()
        done = killer.process.end()
        self.between.step = lambda told, answered: True
        assert done.exit_code == -signal.SIGKILL, f"request {nth}: {done}"
        return done.out

    def check(self) -> oracle.Objects:
        now = oracle.everything(self.bucket, self.model)
        assert oracle.complaints(now, self.model) == []
        assert oracle.lost(self.before, now) == []
        check_pulled(self.folder, self.model, required=False)
        return now

    def finish(self) -> Any:
        """The same command again, and the state that it leaves."""
        self.start().end().done()
        check_pulled(self.folder, self.model, required=self.verb == "pull")
        return self.trace()

    def trace(self) -> Any:
        return oracle.trace(self.check(), self.model)


def undisturbed(bucket: Bucket, between: Relay, folder: Path, verb: str) -> tuple[Any, int]:
    """The state that the command leaves, and how many requests it takes."""
    trial = Trial(bucket, between, folder, verb, "undisturbed")
    between.asked.clear()
    return trial.finish(), len(between.asked)


def kill_and_retry(bucket: Bucket, between: Relay, folder: Path, verb: str, nth: int, answered: bool) -> Any:
    """The state after a kill and a second try; an oracle looks in between."""
    trial = Trial(bucket, between, folder, verb, f"{verb}-{nth}-{'after' if answered else 'before'}")
    printed = trial.killed(nth, answered)
    now = trial.check()
    if verb == "rollback" and f"history/{trial.model}/prod/000003.json" in now:
        assert "now stands at" in printed  # nobody tries again what was told to be done: it would be the next step back
        return oracle.trace(now, trial.model)
    return trial.finish()


@pytest.mark.parametrize("verb", FEW)
def test_killed_at_a_request_it_is_finished_by_the_same_command(bucket: Bucket, tmp_path: Path, verb: str) -> None:
    with relay(bucket.store.endpoint) as between:
        wanted, _ = undisturbed(bucket, between, tmp_path, verb)
        for nth in FEW[verb]:
            assert kill_and_retry(bucket, between, tmp_path, verb, nth, answered=nth % 2 == 0) == wanted


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_at_any_request_it_is_finished_by_the_same_command(
    bucket: Bucket, tmp_path: Path, verb: str, answered: bool
) -> None:
    with relay(bucket.store.endpoint) as between:
        wanted, requests = undisturbed(bucket, between, tmp_path, verb)
        for nth in range(1, requests + 1):
            found = kill_and_retry(bucket, between, tmp_path, verb, nth, answered)
            assert found == wanted, f"killed at request {nth} of {requests}"
