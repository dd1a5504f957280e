"""The object store: where it is comes from the environment, and nothing else knows how to reach it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line

CONNECT_S, READ_S = 5, 15
ATTEMPTS = 3


@dataclass(frozen=True)
class Store:
    """A bucket behind an S3 endpoint.

    Attributes:
        bucket: its name.
        endpoint: base URL; "" means AWS itself.
    """

    bucket: str
    endpoint: str


def from_environment() -> Store | None:
    """The store named by `GRAFT_BUCKET` (and `AWS_ENDPOINT_URL_S3`); None if none is."""
    bucket = os.environ.get("GRAFT_BUCKET", "")
    return at(bucket) if bucket else None


def at(bucket: str) -> Store:
    """`bucket` behind the endpoint that the environment names."""
    return Store(bucket, os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")


def client(store: Store) -> Any:
    """A boto3 client with bounded waits, CONNECT_S and READ_S; three tries of each request, or AWS_MAX_ATTEMPTS."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # off AWS the look-up waits for seconds
    import boto3
    from botocore.config import Config

    retries: dict[str, Any] = {"mode": "standard"}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    config = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries=retries)
    return boto3.client("s3", endpoint_url=store.endpoint or None, config=config)


def check(store: Store) -> None:
    """Ask for the bucket.

    Raises:
        EnvironmentProblem: no answer, no such bucket, or no permission; the text says which and what would do.
    """
    with explained(store, "set GRAFT_BUCKET"):
        client(store).head_bucket(Bucket=store.bucket)


@contextmanager
def explained(store: Store, elsewhere: str) -> Iterator[None]:
    """Turns what boto3 raises in the block into an EnvironmentProblem: one line that says what would do.

    Args:
        elsewhere: how to name another bucket, if this one does not exist.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise refusal(store, str(error.response.get("Error", {}).get("Code", "")), elsewhere) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise no_answer(store, error) from None


def refusal(store: Store, code: str, elsewhere: str) -> EnvironmentProblem:
    """What an S3 error code means for whoever runs this; `elsewhere` as in `explained`."""
    where = store.endpoint or "AWS"
    said = _REASONS.get(code, "{where} answered {code} when asked for bucket {bucket}")
    return EnvironmentProblem(
        said.format(bucket=store.bucket, where=where, code=one_line(code, 80), elsewhere=elsewhere)
    )


def no_answer(store: Store, error: Exception) -> EnvironmentProblem:
    """No connection, no answer in time, no credentials: what botocore says of it, and where to look."""
    look = _LOOK.get(type(error).__name__, "check AWS_ENDPOINT_URL_S3 and AWS_*")
    return EnvironmentProblem(f"{store.endpoint or 'AWS'}: {one_line(str(error)).rstrip('.')}; {look}")


_MISSING = "bucket {bucket} does not exist at {where}; create it, or {elsewhere}"
_DENIED = "access to bucket {bucket} at {where} is denied; check AWS_ACCESS_KEY_ID and its policy"
_KEY = "{where} does not accept these credentials ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REASONS = {
    "404": _MISSING,
    "NoSuchBucket": _MISSING,
    "403": _DENIED,
    "AccessDenied": _DENIED,
    "InvalidAccessKeyId": _KEY,
    "SignatureDoesNotMatch": _KEY,
    "ExpiredToken": "the credentials for {where} have expired; get new ones into AWS_SESSION_TOKEN and its kin",
}
_LOOK = {
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "PartialCredentialsError": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
