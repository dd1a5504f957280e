"""Who may do what, asked of a real server: the documents for IAM as a bucket's policy, and the workspace's own keys."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra import policies
from tests.store import NOBODIES, Server, connect

PREFIXES = ("models", "stages", "history", "atlas", "dvc", "inbox", "shards", "spread", "conformance", "other")
ALLOWED = {
    "puller": {"get": policies.READ, "put": (), "upload": (), "delete": ()},
    "trainer": {
        "get": policies.WRITTEN,
        "put": policies.WRITTEN,
        "upload": policies.WRITTEN,
        "delete": policies.DELETED,
    },
}


@pytest.fixture(scope="module")
def guarded(s3: Server) -> Iterator[Server]:
    """A bucket with versions in which two keys may do what the documents say, and an object under each prefix."""
    server = Server(s3.endpoint, s3.key, s3.secret, "guarded")
    client = connect(server)
    client.create_bucket(Bucket=server.bucket)
    client.put_bucket_versioning(Bucket=server.bucket, VersioningConfiguration={"Status": "Enabled"})
    documents = zip(NOBODIES, (policies.reader, policies.writer), strict=True)
    statements = [
        {**one, "Sid": f"{who}{one['Sid']}", "Principal": {"AWS": f"arn:aws:iam::000000000000:user/{who}"}}
        for who, document in documents
        for one in document(server.bucket, False)["Statement"]
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    client.put_bucket_policy(Bucket=server.bucket, Policy=json.dumps(policy))
    yield server
    client.close()


def may(client: Any, operation: str, **arguments: Any) -> bool:
    """Whether the server lets this key do it; any other refusal is raised."""
    try:
        answer = getattr(client, operation)(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "403"), error
        return False
    return "Errors" not in answer


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("who", NOBODIES)
def test_each_role_does_its_work_and_no_more(guarded: Server, who: str, prefix: str) -> None:
    owner, client = connect(guarded), connect(Server(guarded.endpoint, who, guarded.secret, guarded.bucket))
    there = {"Bucket": guarded.bucket, "Key": f"{prefix}/a/1"}
    version = owner.put_object(**there, Body=b"x")["VersionId"]
    allowed = ALLOWED[who]
    assert may(client, "get_object", **there) == (prefix in allowed["get"])
    assert may(client, "put_object", **there) == (prefix in allowed["put"])
    assert may(client, "create_multipart_upload", **there) == (prefix in allowed["upload"])
    assert not may(client, "delete_object", **there, VersionId=version)
    one = {"Objects": [{"Key": there["Key"], "VersionId": version}]}
    assert not may(client, "delete_objects", Bucket=guarded.bucket, Delete=one)
    assert may(client, "delete_object", **there) == (prefix in allowed["delete"])
    owner.put_object(**there, Body=b"x")
    one = {"Objects": [{"Key": there["Key"]}]}
    assert may(client, "delete_objects", Bucket=guarded.bucket, Delete=one) == (prefix in allowed["delete"])


@pytest.mark.parametrize("who", NOBODIES)
def test_no_role_changes_the_bucket_itself(guarded: Server, who: str) -> None:
    client = connect(Server(guarded.endpoint, who, guarded.secret, guarded.bucket))
    bucket = {"Bucket": guarded.bucket}
    assert may(client, "list_objects_v2", **bucket)
    expire = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": "models/"}, "Expiration": {"Days": 1}}
    refused: dict[str, dict[str, Any]] = {
        "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Suspended"}},
        "put_bucket_policy": {"Policy": json.dumps(policies.reader(guarded.bucket, False))},
        "delete_bucket_policy": {},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": [expire]}},
        "delete_bucket": {},
    }
    assert [name for name, arguments in refused.items() if may(client, name, **bucket, **arguments)] == []


def test_requests_without_tls_are_denied_where_there_is_tls() -> None:
    for document in (policies.reader, policies.writer):
        statements = document("models", True)["Statement"]
        assert len(statements) == len(document("models", False)["Statement"]) + 1
        assert statements[-1]["Effect"] == "Deny"
        assert statements[-1]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
