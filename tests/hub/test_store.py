"""The object store, asked for real: what is wrong with it is said in one line, and soon."""

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from graft.core.errors import EnvironmentProblem
from graft.hub import local, store
from graft.hub.store import Store

pytestmark = pytest.mark.usefixtures("no_aws")


def refusal(bucket: str, endpoint: str) -> str:
    """What `check` says; it says it on one line, and within seconds."""
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem) as caught:
        store.check(Store(bucket, endpoint))
    assert time.monotonic() - started < 20
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("credentials")
def test_a_bucket_that_exists_passes(s3: Any) -> None:
    store.check(Store(s3.bucket, s3.endpoint))


@pytest.mark.usefixtures("credentials")
def test_what_is_written_comes_back(s3: Any) -> None:
    client = store.client(Store(s3.bucket, s3.endpoint))
    client.put_object(Bucket=s3.bucket, Key="releases/a.bin", Body=b"bytes")
    assert client.get_object(Bucket=s3.bucket, Key="releases/a.bin")["Body"].read() == b"bytes"
    client.close()


@pytest.mark.usefixtures("credentials")
def test_a_missing_bucket_is_named(s3: Any) -> None:
    told = refusal("nowhere", s3.endpoint)
    assert told == f"bucket nowhere does not exist at {s3.endpoint}; create it, or set GRAFT_BUCKET"


def test_a_wrong_key_is_told_from_a_wrong_secret_and_where_to_look(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (("nobody", s3.secret, "InvalidAccessKeyId"), (s3.key, "wrong", "SignatureDoesNotMatch"))
    for key, secret, code in wrong:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        boto3.setup_default_session()  # it keeps the first credentials that it finds
        told = refusal(s3.bucket, s3.endpoint)
        assert told.startswith(f"{s3.endpoint} does not accept these credentials ({code})")
        assert "AWS_ACCESS_KEY_ID" in told and secret not in told


def test_no_key_at_all_is_said(s3: Any) -> None:
    told = refusal(s3.bucket, s3.endpoint)
    assert told.startswith(f"{s3.endpoint}: Unable to locate credentials")


@pytest.mark.usefixtures("credentials")
def test_an_endpoint_that_is_down_is_named() -> None:
    told = refusal("models", "http://127.0.0.1:9")
    assert told.startswith("http://127.0.0.1:9: Could not connect") and "AWS_ENDPOINT_URL_S3" in told


@pytest.mark.usefixtures("credentials")
def test_an_endpoint_without_a_scheme_is_named() -> None:
    assert refusal("models", "localhost:9000").startswith("localhost:9000: Invalid endpoint")


@pytest.mark.usefixtures("credentials")
def test_a_name_that_no_bucket_may_have_is_refused(s3: Any) -> None:
    assert "../etc" in refusal("../etc", s3.endpoint)


def test_the_environment_says_which_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the checkout may have a store of its own
    assert store.from_environment() is None
    monkeypatch.setenv("GRAFT_BUCKET", "models")
    assert store.from_environment() == Store("models", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any")
    assert store.from_environment() == Store("models", "http://any")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert store.from_environment() == Store("models", "http://s3")


@pytest.mark.parametrize("bucket", ["../etc", "Models", "a", "a..b", "-models", "m\nx", "x" * 64, "models/x"])
def test_a_bucket_name_from_the_environment_that_cannot_be_is_refused(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_BUCKET", bucket)
    with pytest.raises(EnvironmentProblem, match="^GRAFT_BUCKET is '.*63 of a-z.*both ends$") as caught:
        store.from_environment()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:9000",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:x",
        "http://a b",
        "http://me:pw1@host",
    ],
)
def test_an_endpoint_from_the_environment_that_cannot_be_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_BUCKET", "models")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(EnvironmentProblem, match="^AWS_ENDPOINT_URL_S3 .* https://host or http://host:port$") as caught:
        store.from_environment()
    assert "pw1" not in str(caught.value)


def own_store(workspace: Path, server: Any) -> Path:
    """A workspace with the files that `graft up` leaves, for a server that runs already; their folder."""
    folder = workspace / local.FOLDER
    folder.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (workspace / name).touch()
    said = {"endpoint": server.endpoint, "bucket": server.bucket, "profile": "graft", "region": "us-east-1"}
    local.connection_file(folder).write_text(json.dumps(said))
    keys = f"[graft]\naws_access_key_id = {server.key}\naws_secret_access_key = {server.secret}\n"
    local.credentials_file(folder).write_text(keys)
    local.credentials_file(folder).chmod(0o600)
    return folder


def test_a_workspace_finds_its_own_store_from_any_folder_of_it(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_store(tmp_path, s3)
    (tmp_path / "data" / "source").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data" / "source")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    before = dict(os.environ)
    found = store.from_environment()
    assert found == Store(s3.bucket, s3.endpoint, "us-east-1", "graft", folder / "credentials")
    store.check(found)
    assert dict(os.environ) == before

    for name, value in store.environment(found).items():
        assert s3.secret not in value and s3.key not in value
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()
    named = store.from_environment()
    assert named == Store(s3.bucket, s3.endpoint)
    store.check(named)
    assert store.client(named).meta.region_name == "us-east-1"
    monkeypatch.setenv("GRAFT_BUCKET", "other")
    assert store.from_environment() == Store("other", s3.endpoint)


def test_a_folder_that_is_no_workspace_has_no_store(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_store(tmp_path, s3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").unlink()
    assert store.from_environment() is None


@pytest.mark.parametrize(
    ("file", "mode", "told"),
    [
        ("credentials", 0o640, "can be read by others; type: chmod 600"),
        ("store.json", 0o646, "can be written by others and is not trusted; type: chmod go-w"),
        (".", 0o777, "can be written by others and is not trusted; type: chmod go-w"),
    ],
)
def test_a_store_whose_files_others_can_touch_is_refused(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, mode: int, told: str
) -> None:
    path = own_store(tmp_path, s3) / file
    path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem) as caught:
        store.from_environment()
    assert str(caught.value).startswith(f"{path} {told}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_a_store_whose_files_belong_to_another_is_refused(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(local.connection_file(own_store(tmp_path, s3)), 65534, 65534)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem, match="belongs to another user and is not trusted"):
        store.from_environment()


def test_damaged_files_of_a_store_are_named_with_what_would_do(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_store(tmp_path, s3)
    monkeypatch.chdir(tmp_path)
    for content in ("", "[]", "{}"):
        local.connection_file(folder).write_text(content)
        with pytest.raises(EnvironmentProblem, match="store.json is damaged; type: graft up"):
            store.from_environment()
    local.credentials_file(folder).unlink()
    with pytest.raises(EnvironmentProblem, match="credentials: No such file or directory; type: graft up"):
        store.from_environment()


def test_the_workspaces_own_store_when_down_says_how_to_start_it(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[graft]\naws_access_key_id = a\naws_secret_access_key = b\n")
    with pytest.raises(EnvironmentProblem, match="Could not connect.*start it: graft up$"):
        store.check(Store("models", "http://127.0.0.1:9", "us-east-1", "graft", tmp_path / "credentials"))
