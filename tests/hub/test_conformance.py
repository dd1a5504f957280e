"""A store is taken at its word only after it was tried: each promise is seen broken once, by a store that lies."""

from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem, PromisesBroken, message
from graft.hub import conformance, promises
from graft.hub.conformance import PROMISES
from graft.hub.store import Store, client
from infra import bucket
from tests import liar
from tests.liar import Lie
from tests.store import Server

pytestmark = pytest.mark.usefixtures("credentials")
TRIALS = {promise.seen: promise for promise in PROMISES}


def test_the_real_store_keeps_every_promise_and_is_left_clean(s3: Server) -> None:
    """The bucket has versions, as `graft up` sets it up; between them stands the one that lies in the other tests."""
    with liar.liar(s3, liar.honest) as honest:
        place = Store("conforming", honest.endpoint)
        bucket.set_up(place)
        conformance.require(place)
        left = client(place).list_object_versions(Bucket=place.bucket)
    assert "Versions" not in left and "DeleteMarkers" not in left


LIES: dict[str, tuple[Lie, Any, str]] = {
    "ignores If-None-Match": (liar.forgetting("if-none-match"), promises.one_creates, "32 won"),
    "looks before it writes": (liar.looking_before_it_writes, promises.one_creates, " won"),
    "has no conditions": (liar.unable, promises.one_creates, "the answer NotImplemented"),
    "ignores If-Match in a race": (liar.forgetting("if-match"), promises.one_replaces, "32 won"),
    "ignores If-Match": (liar.forgetting("if-match"), promises.stale_is_refused, "it was accepted"),
    "ignores checksums": (
        liar.forgetting("x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"),
        promises.wrong_checksum,
        "it was accepted",
    ),
    "forgets checksums": (liar.keeping_no_checksum, promises.kept_checksum, "HEAD told none"),
    "ends a listing early": (liar.listing(liar.without_its_end), promises.pages, "15 of 25 objects are not listed"),
    "lists out of order": (liar.listing(liar.backwards), promises.pages, "25 names for 25 objects, or not in order"),
    "lists late": (liar.listing(liar.without_its_last), promises.list_after_write, "wrote one object, listed 0"),
    "has no folders": (liar.flat, promises.folders, "folders []"),
    "reads what was": (liar.remembering(), promises.read_after_write, "wrote b'second', read b'first'"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_broken_promise_is_caught_and_named(s3: Server, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    tells, trial, seen = LIES[lie]
    monkeypatch.setattr(conformance, "PROMISES", (TRIALS[trial],))
    with liar.liar(s3, tells) as lying:
        found = conformance.broken(Store(s3.bucket, lying.endpoint))
    assert [one.promise for one in found] == [TRIALS[trial]]
    assert seen in found[0].seen and not found[0].seen.startswith("1 won")
    assert str(found[0]).startswith(f"promise not kept: {TRIALS[trial].text}; seen: ")


def test_every_promise_is_seen_broken() -> None:
    assert {trial for _, trial, _ in LIES.values()} == set(TRIALS)


def test_all_that_is_broken_is_said_a_line_each(s3: Server) -> None:
    with liar.liar(s3, liar.forgetting("if-match", "if-none-match")) as lying:
        place = Store(s3.bucket, lying.endpoint)
        with pytest.raises(PromisesBroken) as caught:
            conformance.require(place)
    lines = message(caught.value).split("\n")
    assert len(lines) == 3 and caught.value.exit_code == 3
    for line in lines:
        assert line.startswith(f"bucket {s3.bucket} at {lying.endpoint}: promise not kept: ")
        assert "If-" in line and line.endswith("use a newer release of this store, or another store")


def test_a_key_that_may_not_write_is_no_broken_promise(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lister")
    with pytest.raises(EnvironmentProblem, match="access to bucket models at .* is denied"):
        conformance.require(Store(s3.bucket, s3.endpoint))
