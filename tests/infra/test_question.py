"""A question that nobody answers: the run goes on by itself, says so, and nothing goes live."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from graft.hub import pointer
from graft.hub.bucket import Bucket
from infra.server import Server
from infra.store import Local
from tests.conftest import Place, make_place
from tests.tasks.conftest import git

WITHIN_S = 20


@pytest.mark.sweep
@pytest.mark.timeout(1500)
def test_a_question_that_nobody_answers_means_no(tmp_path: Path) -> None:
    made = make_place(tmp_path / "clone", tmp_path / "home")
    place = Place(made.root, made.environment | {"GRAFT_ANSWER_WITHIN_S": str(WITHIN_S)})
    place.set("publish.min_gain_points=-100")
    git(place.root, "commit", "-qam", "settings")
    try:
        up = place.graft("up")
        assert up.returncode == 0, up.stderr
        assert f"a question that nobody answers within {WITHIN_S} s means no" in up.stdout
        run = place.run("graft", "start", "train", "at_end=ask", "--wait", timeout=1200)
        assert run.returncode == 0, run.stdout + run.stderr
        told = re.findall(r"^\S+ (.*)$", run.stdout, re.MULTILINE)
        assert told[-1] == "Not promoted: plants@v1: nobody answered in time"
        assert "Suspended" in told and "Crashed" not in run.stdout
        with closing(Bucket(Local(place.root / ".graft" / "store").store)) as bucket:
            assert pointer.standing(bucket, "plants", "candidate") and not pointer.standing(bucket, "plants", "prod")
        assert os.listdir(place.root / ".graft" / "questions") == []
        with closing(sqlite3.connect(Server(place.root).home / "prefect.db")) as read:
            spoken = read.execute("SELECT event FROM events WHERE event LIKE 'prefect.flow-run.%' ORDER BY occurred")
            events = [name.removeprefix("prefect.flow-run.") for (name,) in spoken]
        asked = events.index("asked")  # what it says last before its process ends, after any heartbeat
        assert events[:asked].count("Suspended") == 1
        assert "heartbeat" not in events[asked : events.index("Resuming")]
    finally:
        assert place.graft("down").returncode == 0
