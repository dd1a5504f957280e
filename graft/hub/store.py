"""The object store: where it is comes from the environment, and nothing else knows how to reach it."""

import os
from dataclasses import dataclass
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line


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
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return Store(bucket, endpoint) if bucket else None


def client(store: Store) -> Any:
    """A boto3 client with bounded waits: 5 s to connect, 15 s to read, three attempts."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # off AWS the look-up waits for seconds
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
    return boto3.client("s3", endpoint_url=store.endpoint or None, config=config)


def check(store: Store) -> None:
    """Ask for the bucket.

    Raises:
        EnvironmentProblem: no answer, no such bucket, or no permission; the text says which and what would do.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = store.endpoint or "AWS"
    try:
        client(store).head_bucket(Bucket=store.bucket)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise EnvironmentProblem(
            _REASONS.get(code, "{where} answered {code}").format(bucket=store.bucket, where=where, code=code)
        ) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise EnvironmentProblem(f"{where}: {one_line(str(error))}; check AWS_ENDPOINT_URL_S3 and AWS_*") from None


_REASONS = {
    "404": "bucket {bucket} does not exist at {where}; create it, or set GRAFT_BUCKET",
    "403": "access to bucket {bucket} at {where} is denied; check AWS_ACCESS_KEY_ID and its policy",
}
