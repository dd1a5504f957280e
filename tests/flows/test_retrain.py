"""A retraining from its start to what is live: a real store, a real server, real git, and no worker in between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graft.core.dataset import Request
from graft.hub import pointer, store
from graft.hub.bucket import Bucket
from tasks.adapters import manifest
from tasks.origins import shapes
from tests.conftest import Finished, Place
from tests.store import Server
from tests.tasks.conftest import git
from tests.tasks.test_webhook import Ear, listening

RUN = """
import json, sys
from flows.retrain import retrain
state = retrain(**json.loads(sys.argv[1]), return_state=True)
print(json.dumps([state.type.value, state.name, state.message]))
"""
LOOSE = (
    "data.target.inbox=true",
    "publish.min_gain_points=-100",
    "retrain.margin_points=50",
    "retrain.max_latency_ratio=50",
)
QUICK = (
    "finetune.steps=8",
    "finetune.evaluations=1",
    "evaluate.seeds=1",
    "export.formats=[{name: tflite, precision: float32}]",
)
"""For a run in which something is trained, whatever becomes of it."""


class Retraining:
    """A finished workspace with a commit, and the store that its runs publish to."""

    def __init__(self, place: Place, place_of_store: store.Store) -> None:
        self.place, self._store = place, place_of_store

    def run(self, **form: Any) -> tuple[str, str, str]:
        """Type, name and message of the state that the run ends in."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(form)],
            cwd=self.place.root,
            env=self.place.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.stdout, done.stderr
        kind, name, message = json.loads(done.stdout.splitlines()[-1])
        return kind, name, message

    def commit(self, *assignments: str) -> None:
        self.place.set(*assignments)
        git(self.place.root, "commit", "-qam", "settings")

    def kept(self, *arguments: str) -> list[str]:
        return git(self.place.root / ".graft" / "commits.git", *arguments).split()

    def live(self) -> tuple[str, str]:
        """What stands at prod, and why."""
        with closing(Bucket(self._store)) as bucket:
            found = pointer.standing(bucket, "plants", "prod")
        return (found.move.version, found.move.reason) if found else ("", "")


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    with listening() as heard:
        yield heard


@pytest.fixture(scope="module")
def retraining(
    finished: Finished, prefect_url: str, s3: Server, ear: Ear, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Retraining]:
    folder = tmp_path_factory.mktemp("retraining")
    copy = finished[0].copy(folder / "clone")
    environment = copy.environment | {
        "PREFECT_API_URL": prefect_url,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "GRAFT_BUCKET": "retraining",
        "GRAFT_CACHE": str(folder / "cache"),
        "GRAFT_WEBHOOK": ear.address,
        "GIT_AUTHOR_NAME": "t",
        "no_proxy": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as outer:
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            outer.setenv(name, environment[name])
        place = store.Store("retraining", s3.endpoint)
        with closing(store.client(place)) as client:
            client.create_bucket(Bucket="retraining")
        found = Retraining(Place(copy.root, environment), place)
        git(copy.root, "add", "-A")
        found.commit(*LOOSE)
        yield found


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"target_uri": "/data/plants", "at_end": "never"}, "target_uri is given without target_origin"),
        ({"at_end": "ask"}, "only a run that a worker started can wait"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(
    retraining: Retraining, form: dict[str, str], told: str
) -> None:
    kind, name, message = retraining.run(**form)
    assert (kind, name) == ("FAILED", "Refused") and told in message
    assert not (retraining.place.root / ".graft" / "commits.git").exists() and retraining.live() == ("", "")


def test_the_first_model_goes_live_and_the_workspace_is_as_it_was(retraining: Retraining, ear: Ear) -> None:
    before = git(retraining.place.root, "rev-parse", "HEAD")
    kind, name, message = retraining.run(at_end="promote if better")
    assert (kind, name, message) == ("COMPLETED", "Promoted", "plants@v1 stands at prod")
    assert retraining.live() == ("v1", "retrained; the first to go live")
    assert retraining.kept("tag", "--list") == ["plants-v1"]
    assert retraining.kept("rev-parse", "plants-v1") == retraining.kept("rev-parse", "retrain/plants")
    assert git(retraining.place.root, "rev-parse", "HEAD") == before
    assert git(retraining.place.root, "status", "--porcelain") == ""
    assert [one["event"] for one in ear.heard] == ["failure", "failure", "promotion"]


def test_nothing_new_is_said_and_nothing_is_done(retraining: Retraining, ear: Ear) -> None:
    tip, heard = retraining.kept("rev-parse", "retrain/plants"), len(ear.heard)
    kind, name, message = retraining.run(at_end="promote if better")
    assert (kind, name) == ("COMPLETED", "Unchanged")
    assert message.startswith("nothing changed since ") and message.endswith(": plants@v1 stands at prod")
    assert retraining.kept("rev-parse", "retrain/plants") == tip and len(ear.heard) == heard


def test_a_worse_model_never_goes_live_and_the_reason_is_told(retraining: Retraining, ear: Ear) -> None:
    retraining.commit("retrain.margin_points=0")  # equal is not above: it has to be better
    kind, name, message = retraining.run(at_end="promote if better")
    assert (kind, name) == ("COMPLETED", "Not promoted")
    assert "plants: accuracy against plants@v1: +0.0 points [+0.0, +0.0]" in message
    assert retraining.live()[0] == "v1" and retraining.kept("tag", "--list") == ["plants-v1"]
    assert ear.heard[-1]["event"] == "refusal" and "accuracy against plants@v1" in ear.heard[-1]["text"]
    [lock] = retraining.kept("ls-tree", "--name-only", "retrain/plants", "dvc.lock")
    assert lock == "dvc.lock"  # what was found is kept


def send(retraining: Retraining, folder: Path) -> int:
    """Put pictures of two classes into the inbox; how many."""
    draws = shapes.fetch(shapes.Options(images_per_class=6), Request("any", 99, 32, folder, role="target"))
    sent = [one for one in draws if one.path.startswith(("clover/", "daisy/"))]
    for one in sent:
        path = folder / one.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(one.data)
    done = retraining.place.graft("inbox", "add", str(folder))
    assert done.returncode == 0 and f"sent {len(sent)} of {len(sent)} pictures of 2 classes" in done.stdout, done.stderr
    return len(sent)


def taken(retraining: Retraining) -> int:
    """Pictures of the inbox in what the last run ingested."""
    rows = manifest.read(retraining.place.root / ".graft" / "runs" / "1" / "data" / "manifest.parquet", "target")
    return sum(row.path.startswith("inbox/") for row in rows)


@pytest.mark.sweep
def test_pictures_in_the_inbox_are_taken_by_the_next_run(retraining: Retraining, tmp_path: Path) -> None:
    sent = send(retraining, tmp_path)
    assert "clover" in retraining.place.graft("inbox", "list").stdout
    retraining.commit("validate.min_images_per_class=1000")  # what is trained on them is not asked here
    kind, name, message = retraining.run(at_end="never")
    assert (kind, name) == ("FAILED", "Refused") and "few_images" in message
    assert taken(retraining) == sent


@pytest.mark.sweep
def test_pictures_in_the_inbox_are_trained_on_once(retraining: Retraining, tmp_path: Path) -> None:
    sent = send(retraining, tmp_path)
    retraining.commit(*QUICK, "validate.min_images_per_class=5")
    kind, name, _ = retraining.run(at_end="never")
    assert kind == "COMPLETED" and name in ("Published", "Not promoted")
    assert taken(retraining) == sent
    assert retraining.run(at_end="never")[1] == "Unchanged"


def test_no_secret_is_left_behind(retraining: Retraining, s3: Server, ear: Ear) -> None:
    secrets = [s3.secret.encode(), ear.address.rpartition("/")[2].encode()]
    found = [
        path
        for path in retraining.place.root.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in secrets)
    ]
    assert found == [], [Path(path).relative_to(retraining.place.root) for path in found]
