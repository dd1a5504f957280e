"""The object store: where it is comes from the environment, and nothing else knows how to reach it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graft.core.errors import EnvironmentProblem, one_line
from graft.hub import local, naming

CONNECT_S, READ_S = 5, 15
ATTEMPTS = 3
NO_STORE = "no store is named; set GRAFT_BUCKET (and AWS_ENDPOINT_URL_S3), or start one: graft up"


@dataclass(frozen=True)
class Store:
    """A bucket behind an S3 endpoint.

    Attributes:
        bucket: its name.
        endpoint: base URL; "" means AWS itself.
        region: "" means what the environment and AWS's config file say.
        profile: whose key in `credentials`.
        credentials: an AWS shared credentials file; None: the keys are where AWS's tools look for them.
    """

    bucket: str
    endpoint: str
    region: str = ""
    profile: str = ""
    credentials: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, out of reach of proxies and eavesdroppers."""
        return (urlsplit(self.endpoint).hostname or "") in ("127.0.0.1", "::1", "localhost")


def from_environment() -> Store | None:
    """The store named by `GRAFT_BUCKET` (and `AWS_ENDPOINT_URL_S3`), else the workspace's own; None if there is none.

    Raises:
        EnvironmentProblem: what the environment says is no bucket or endpoint, or the workspace's files are not safe.
    """
    bucket = os.environ.get("GRAFT_BUCKET", "")
    if not bucket:
        own = local.find()
        return of_connection(own) if own else None
    naming.check_bucket(bucket)
    store = at(bucket)
    if store.endpoint:
        naming.check_endpoint(store.endpoint)
    return store


def known() -> Store:
    """The same.

    Raises:
        EnvironmentProblem: there is none; or as above.
    """
    store = from_environment()
    if store is None:
        raise EnvironmentProblem(NO_STORE)
    return store


def of_connection(own: local.Connection) -> Store:
    """The store that `graft up` started."""
    return Store(own.bucket, own.endpoint, own.region, own.profile, own.credentials)


def at(bucket: str) -> Store:
    """`bucket` behind the endpoint that the environment names."""
    return Store(bucket, os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")


def client(store: Store, connections: int = 10, checksums: bool = True) -> Any:
    """A boto3 client with bounded waits, CONNECT_S and READ_S; three tries of each request, or AWS_MAX_ATTEMPTS.

    Args:
        connections: how many threads may use it at once.
        checksums: have the client compute one of its own for every body; a caller that sends and compares digests
            itself saves a reading.
    """
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # off AWS the look-up waits for seconds
    from botocore.config import Config

    retries: dict[str, Any] = {"mode": "standard"}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    proxies = {"proxies": dict[str, str]()} if store.is_loopback else {}
    waits = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
    digests = {} if checksums else dict.fromkeys(_CHECKSUMS, "when_required")
    config = Config(**waits, retries=retries, max_pool_connections=connections, **digests, **proxies)
    session = _session(store)
    region = _region(store, session) or None
    return session.client("s3", endpoint_url=store.endpoint or None, region_name=region, config=config)


def environment(store: Store) -> dict[str, str]:
    """What a child process that speaks S3 (dvc, aws) needs in its environment to reach `store`; no secret is in it."""
    names = {"GRAFT_BUCKET": store.bucket}
    if store.endpoint:
        names["AWS_ENDPOINT_URL_S3"] = store.endpoint
    if region := _region(store, _session(store)):
        names |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if store.credentials:
        names |= {"AWS_SHARED_CREDENTIALS_FILE": str(store.credentials), "AWS_PROFILE": store.profile}
        names |= {name: "" for name in _KEYS if os.environ.get(name)}  # they would win over the profile
    if store.is_loopback and any(os.environ.get(name) for name in _PROXIES):
        beyond = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        direct = ",".join(filter(None, [beyond, urlsplit(store.endpoint).hostname]))
        names |= {"NO_PROXY": direct, "no_proxy": direct}
    return names


def _session(store: Store) -> Any:
    import boto3
    import botocore.session

    if store.credentials is None:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        return boto3.DEFAULT_SESSION
    core = botocore.session.Session()
    core.set_config_variable("credentials_file", str(store.credentials))
    core.set_config_variable("config_file", os.devnull)  # a profile of the same name there would be mixed in
    core.set_config_variable("profile", store.profile)
    return boto3.Session(botocore_session=core)


def _region(store: Store, session: Any) -> str:
    said = store.region or os.environ.get("AWS_REGION") or session.region_name
    return said or (local.REGION if store.endpoint else "")


_CHECKSUMS = ("request_checksum_calculation", "response_checksum_validation")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")


def check(store: Store) -> None:
    """List the bucket: a HEAD would be refused without saying why.

    Raises:
        EnvironmentProblem: no answer, no such bucket, or no permission; the text says which and what would do.
    """
    with explained(store, "set GRAFT_BUCKET"):
        client(store).list_objects_v2(Bucket=store.bucket, MaxKeys=1)


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
    if store.credentials:
        look = "start it: graft up"
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
