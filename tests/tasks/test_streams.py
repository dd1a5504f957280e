"""pretrain learns from rows in the store as from rows at hand; what is not there is named."""

import shutil
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem
from tasks import streams
from tasks.adapters import files
from tasks.workspace import Workspace
from tests.conftest import Place
from tests.store import Server


@pytest.fixture
def stored(copied: Place, s3: Server) -> Place:
    """The finished workspace, to be changed, and the store."""
    named = {"GRAFT_BUCKET": s3.bucket, "AWS_ENDPOINT_URL_S3": s3.endpoint, "NO_PROXY": "127.0.0.1"}
    keys = {"AWS_ACCESS_KEY_ID": s3.key, "AWS_SECRET_ACCESS_KEY": s3.secret}
    return Place(copied.root, copied.environment | named | keys)


@pytest.mark.sweep
def test_a_machine_without_features_pretrains_from_the_store(stored: Place) -> None:
    place = Workspace(stored.root)
    before = files.read_json(place.pretrain_report)
    stored.set("train.data=store", "pretrain.backbone=article")
    refused = stored.run("python", "-m", "tasks.pretrain")
    assert refused.returncode == 1 and "type: graft shards" in refused.stderr and "Traceback" not in refused.stderr
    pushed = stored.graft("shards")
    assert pushed.returncode == 0 and "source train" in pushed.stdout, pushed.stderr
    shutil.rmtree(place.features)
    done = stored.run("python", "-m", "tasks.pretrain")
    assert done.returncode == 0, done.stderr
    after = files.read_json(place.pretrain_report)
    assert after["article"]["parameters"] == before["article"]["parameters"]
    assert after["article"]["steps"] == before["article"]["steps"]
    assert after["article"]["validation_accuracy"] > 1.2 / 5  # chance is a fifth
    assert any(Path(stored.environment["GRAFT_CACHE"], "shards").glob("[0-9a-f]*"))


@pytest.mark.parametrize("said", ["0", "-1", "ten"])
def test_a_limit_that_is_no_number_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(streams.LIMIT, said)
    with pytest.raises(EnvironmentProblem, match="GRAFT_SHARDS_MB is"):
        streams.limit()
    monkeypatch.setenv(streams.LIMIT, "12")
    assert streams.limit() == 12_000_000
