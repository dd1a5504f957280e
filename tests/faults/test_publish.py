"""kill -9 between what a run publishes and what it publishes next: nothing half-done is seen, and it is done once."""

import os
import signal
from collections.abc import Iterator
from threading import Lock
from typing import Any

import pytest

from graft.hub import store as stores
from tests.faults.platform import CRASHED_WITHIN_S, Platform
from tests.relay import Relay, relay

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(900)]

INSTANTS = {
    "between the objects of a push": ("PUT /graft/dvc/files/md5/", 4, False),
    "with the last object of a push on its way back": ("PUT /graft/dvc/runs/", 1, True),
    "between push and release": ("PUT /graft/models/plants/", 1, False),
    "before the receipt": ("/receipt.json", 1, False),
    "between receipt and the commit": ("/stages/plants/candidate.json", 1, True),
    "between commit and staging": ("/stages/plants/staging.json", 1, False),
    "between staging and prod": ("/stages/plants/prod.json", 1, False),
    "with prod moved and its history not written": ("/stages/plants/prod.json", 1, True),
}
"""What has to stand in a writing request, which of those, and whether the store has done it when the run is killed."""


class Killer:
    """Kills the run's process at the chosen request; later ones pass."""

    def __init__(self, live: Platform, wanted: str, nth: int, answered: bool) -> None:
        self.live, self.wanted, self.nth, self.answered = live, wanted, nth, answered
        self.run, self.seen, self.lock = "", 0, Lock()

    def __call__(self, told: str, answered: bool) -> bool:
        if answered != self.answered or not told.startswith("PUT") or self.wanted not in told:
            return True
        with self.lock:
            self.seen += 1
            due = self.seen == self.nth
        if due:
            os.kill(self.live.engine(self.run), signal.SIGKILL)
        return not due


@pytest.fixture
def between(live: Platform) -> Iterator[Relay]:
    with relay(live.store.endpoint) as running:
        yield running


def through(live: Platform, between: Relay) -> dict[str, Any]:
    """What a run is started with to reach the store through the relay."""
    environment = stores.environment(live.store) | {"AWS_ENDPOINT_URL_S3": between.endpoint}
    return {"job_variables": {"env": environment}}


@pytest.mark.parametrize("instant", INSTANTS)
def test_what_a_killed_run_had_begun_to_publish_is_finished_once(live: Platform, between: Relay, instant: str) -> None:
    before, commits = live.versions(), live.commits()
    many = instant == "between the objects of a push"  # a new seed makes every stage's output anew
    live.change(*(() if many else (f"evaluate.bootstrap={200 + list(INSTANTS).index(instant)}",)))
    killer = Killer(live, *INSTANTS[instant])
    between.step = killer
    with killer.lock:
        killer.run = run = live.start(**through(live, between))
    killed = live.crashed_by(run, lambda: killer.seen >= killer.nth)
    assert killed <= CRASHED_WITHIN_S
    if "history" not in instant:
        assert live.at_prod() == before[-1]
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
    assert len(live.versions()) == len(before) + 1 and live.at_prod() == live.versions()[-1]
    assert len(live.commits()) == len(commits) + 2  # the workspace's change taken over, and what was made of it
