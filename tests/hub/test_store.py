"""The object store, asked for real: what is wrong with it is said in one line, and soon."""

import time
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem
from graft.hub import store
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


def test_a_wrong_key_is_denied_and_told_where_to_look(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, secret in (("nobody", s3.secret), (s3.key, "wrong")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        told = refusal(s3.bucket, s3.endpoint)
        assert told.startswith(f"access to bucket {s3.bucket} at {s3.endpoint} is denied")
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


def test_the_environment_says_which_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.from_environment() is None
    monkeypatch.setenv("GRAFT_BUCKET", "models")
    assert store.from_environment() == Store("models", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any")
    assert store.from_environment() == Store("models", "http://any")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert store.from_environment() == Store("models", "http://s3")
