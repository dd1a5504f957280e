"""A bucket is set up as often as one likes, and nobody else's settings are lost."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem
from graft.hub.store import Store
from infra import bucket
from tests.conftest import Place
from tests.liar import Exchange, liar
from tests.store import Server, connect

pytestmark = pytest.mark.usefixtures("credentials")


def rule(name: str, prefix: str) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}}


def test_a_bucket_is_made_and_set_up_once(s3: Server) -> None:
    place = Store("made", s3.endpoint)
    first, second = bucket.set_up(place), bucket.set_up(place)
    assert [line.partition(": ")[2] for line in first[:3]] == [
        "made created",
        "switched on",
        "abandoned uploads end after 7 days, now set",
    ]
    assert [line.partition(": ")[2] for line in second[:3]] == [
        "made is there",
        "on",
        "abandoned uploads end after 7 days",
    ]
    assert first[3] == second[3] == "policy: none; this endpoint has no TLS and needs none"
    client = connect(s3)
    assert client.get_bucket_versioning(Bucket="made")["Status"] == "Enabled"
    [only] = client.get_bucket_lifecycle_configuration(Bucket="made")["Rules"]
    assert only["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_what_others_set_up_stays(s3: Server) -> None:
    client = connect(s3)
    client.create_bucket(Bucket="shared")
    theirs = [rule("theirs", "logs/")]
    client.put_bucket_lifecycle_configuration(Bucket="shared", LifecycleConfiguration={"Rules": theirs})
    bucket.set_up(Store("shared", s3.endpoint))
    rules = client.get_bucket_lifecycle_configuration(Bucket="shared")["Rules"]
    assert [one["ID"] for one in rules] == ["theirs", "graft-abandoned-uploads"]
    assert rules[0]["Expiration"] == {"Days": 30} and rules[0]["Filter"] == {"Prefix": "logs/"}


def test_where_there_is_tls_requests_without_it_are_denied_and_other_statements_stay(s3: Server) -> None:
    client, said = connect(s3), dict[str, Any]()
    client.create_bucket(Bucket="tls")
    there = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::tls/no/*"}
    client.put_bucket_policy(Bucket="tls", Policy=json.dumps({"Version": "2012-10-17", "Statement": [there]}))
    client.meta.events.register(
        "provide-client-params.s3.PutBucketPolicy", lambda params, **_: said.update(json.loads(params["Policy"]))
    )
    assert bucket._policy(client, Store("tls", "https://host")).endswith("now set")
    assert [one["Sid"] for one in said["Statement"]] == ["Theirs", "GraftTlsOnly"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):  # this server has no TLS
        client.put_object(Bucket="tls", Key="models/a", Body=b"x")


def test_what_a_store_does_not_have_is_said_and_the_rest_is_set_up(s3: Server) -> None:
    def no_lifecycle(exchange: Exchange) -> None:
        if "lifecycle" in exchange.path:
            exchange.status, exchange.answer = 501, b"<Error><Code>NotImplemented</Code></Error>"
        else:
            exchange.ask(exchange)

    with liar(s3, no_lifecycle) as without:
        done = bucket.set_up(Store("lesser", without.endpoint))
    assert done[1:3] == ["versioning: switched on", "lifecycle: this store has none (NotImplemented), left as it is"]


def test_a_key_that_may_not_is_told_so(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lister")
    with pytest.raises(EnvironmentProblem, match="access to bucket models at .* is denied"):
        bucket.set_up(Store(s3.bucket, s3.endpoint))


def test_the_command_sets_up_or_prints_a_policy(s3: Server, tmp_path: Path) -> None:
    place = Place(tmp_path, dict(os.environ) | {"GRAFT_BUCKET": "commanded"})
    module = (sys.executable, "-m", "infra.bucket")
    done = place.run(*module)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "bucket: commanded created"
    assert done.stdout.splitlines()[-1] == "promises: all 9 kept" and s3.secret not in done.stdout

    done = place.run(*module, "--reader")
    document = json.loads(done.stdout)
    assert done.returncode == 0 and "arn:aws:s3:::commanded/models/*" in document["Statement"][1]["Resource"]
    assert "s3:PutObject" not in done.stdout
    assert "s3:PutObject" in place.run(*module, "--writer").stdout

    done = place.run(*module, "--admin")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--reader" in done.stderr
    done = Place(tmp_path, place.environment | {"GRAFT_BUCKET": ""}).run(*module)
    assert done.returncode == 3 and "graft up" in done.stderr and done.stderr.count("\n") == 1
