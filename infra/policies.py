"""Who may do what in the bucket: no more than their work takes. Documents for AWS IAM and all who speak its language.

| prefix       | holds                        | reader | writer               |
|--------------|------------------------------|--------|----------------------|
| models/      | releases, never changed      | get    | get, put             |
| stages/      | which release is in use      | get    | get, put             |
| history/     | what was decided, added only | get    | get, put             |
| atlas/       | what was compared            | get    | get, put             |
| inbox/       | pictures, to train on later  |        | get, put             |
| shards/      | rows, for trainings to read  |        | get, put             |
| dvc/         | DVC's remote                 | get    | get, put, delete     |
| spread/      | what jobs read and made      |        | get, put             |
| conformance/ | trials of the store itself   |        | get, put, delete     |
"""

from typing import Any

READ = ("models", "stages", "history", "atlas", "dvc")
WRITTEN = (*READ, "inbox", "shards", "spread", "conformance")
DELETED = ("dvc", "conformance")
NEVER = (
    "s3:DeleteObjectVersion",
    "s3:PutBucketVersioning",
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:PutLifecycleConfiguration",
    "s3:DeleteBucket",
)
Document = dict[str, Any]
Statement = dict[str, Any]


def reader(bucket: str, tls: bool) -> Document:
    """For whoever pulls releases and data.

    Args:
        tls: whether requests without TLS are denied.
    """
    return _document(*_reading(bucket, READ), *_denied(bucket, tls))


def writer(bucket: str, tls: bool) -> Document:
    """For whoever trains and publishes: nothing that was released can be changed for good, nor removed."""
    puts = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return _document(
        *_reading(bucket, WRITTEN),
        {"Sid": "Write", "Effect": "Allow", "Action": puts, "Resource": _objects(bucket, WRITTEN)},
        {"Sid": "Delete", "Effect": "Allow", "Action": ["s3:DeleteObject"], "Resource": _objects(bucket, DELETED)},
        *_denied(bucket, tls),
    )


def without_tls(bucket: str) -> Statement:
    """Denies requests that can be listened to; for the bucket itself, whoever asks."""
    return {"Principal": "*", **_insecure(bucket)}


def of_reader(bucket: str) -> list[str]:
    """The same for SeaweedFS's own file of identities."""
    return [f"List:{bucket}", *(f"Read:{bucket}/{prefix}/*" for prefix in READ)]


def _document(*statements: Statement) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _reading(bucket: str, prefixes: tuple[str, ...]) -> list[Statement]:
    look = ["s3:ListBucket", "s3:GetBucketLocation"]
    return [
        {"Sid": "List", "Effect": "Allow", "Action": look, "Resource": [_arn(bucket)]},
        {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": _objects(bucket, prefixes)},
    ]


def _denied(bucket: str, tls: bool) -> list[Statement]:
    everything = [_arn(bucket), f"{_arn(bucket)}/*"]
    never = {"Sid": "Never", "Effect": "Deny", "Action": list(NEVER), "Resource": everything}
    return [never, _insecure(bucket)] if tls else [never]


def _insecure(bucket: str) -> Statement:
    return {
        "Sid": "GraftTlsOnly",
        "Effect": "Deny",
        "Action": ["s3:*"],
        "Resource": [_arn(bucket), f"{_arn(bucket)}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def _objects(bucket: str, prefixes: tuple[str, ...]) -> list[str]:
    return [f"{_arn(bucket)}/{prefix}/*" for prefix in prefixes]


def _arn(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}"
