"""The s3 origin against a real server: what comes, what is asked for, and what happens when something breaks."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem, GraftError
from graft.core.plugins import resolve
from graft.core.sections import Choice
from tasks.origins import s3 as origin
from tasks.origins._s3 import elsewhere, proofs
from tasks.origins._s3.bucket import Listed
from tests.conftest import ROOT, wait_until
from tests.relay import Relay, relay
from tests.store import Server, Weed, connect, weed

MANY = 1_500
MB = 2**20

pytestmark = pytest.mark.usefixtures("credentials")


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(server: Server, objects: dict[str, bytes], bucket: str = "") -> None:
    with closing(connect(server)) as client, ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda one: client.put_object(Bucket=bucket or server.bucket, Key=one[0], Body=one[1]), objects.items()
            )
        )


def small(prefix: str, count: int = 8) -> dict[str, bytes]:
    """Pictures of two classes by key."""
    return {f"{prefix}/{('ash', 'birch')[index % 2]}/{index:04d}.png": png(index) for index in range(count)}


def options(prefix: str, workers: int = 4, bucket: str = "models") -> origin.Options:
    return origin.Options(uri=f"s3://{bucket}/{prefix}", workers=workers)


def start(prefix: str, cache: Path, workers: int = 4, bucket: str = "models") -> Any:
    return origin.fetch(options(prefix, workers, bucket), Request("any", 3, 32, cache))


def fetch(prefix: str, cache: Path, workers: int = 4, bucket: str = "models") -> list[Picture]:
    return list(start(prefix, cache, workers, bucket))


def refused(kind: type[GraftError], work: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def kept(cache: Path) -> dict[str, int]:
    """Files of the cache and when they were written."""
    return {str(file): file.stat().st_mtime_ns for file in (cache / "s3").glob("??/*")}


@pytest.fixture
def watched(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The same server behind a relay that keeps count."""
    with relay(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@pytest.fixture(scope="module")
def many(s3: Server) -> dict[str, bytes]:
    """Objects for more than a page of a listing."""
    objects = {key: bytes(50) + key.encode() for key in small("many", MANY)}
    upload(s3, objects)
    return objects


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A fetch from a store that takes connections and never says a word; it goes on beside the other tests."""
    code = (
        "import pathlib, sys; from graft.core.dataset import Request; from tasks.origins import s3\n"
        "list(s3.fetch(s3.Options(uri='s3://models/any'), Request('any', 3, 32, pathlib.Path(sys.argv[1]))))"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_MAX_ATTEMPTS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path_factory.mktemp("silence"))],
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        yield process
        process.kill()
        process.communicate()


def test_pictures_come_in_the_order_of_their_keys_with_what_the_store_says_of_them(
    s3: Server, tmp_path: Path, silence: object
) -> None:
    objects = small("order") | {"order/ash/deep/er/x.JPG": png(99)}
    others = dict.fromkeys(("order/ash/notes.txt", "order/loose.png", "order/ash/._0.png", "order/.trash/0.png"), b"x")
    upload(s3, objects | others | {"order-of-another/ash/0.png": b"x"})
    told: list[tuple[int, int]] = []
    asked = Request("any", 3, 32, tmp_path, lambda done, total: told.append((done, total)))
    for uri in ("s3://models/order", "s3://models/order/"):
        found = list(origin.fetch(origin.Options(uri=uri), asked))
        assert [f"order/{one.path}" for one in found] == sorted(objects)
        assert {f"order/{one.path}": one.data for one in found} == objects
        assert {one.label for one in found} == {"ash", "birch"}
        assert all(len(one.etag) == 32 and one.version == one.problem == "" for one in found)
        assert told[-1] == (len(objects), len(objects)) and told == sorted(told)
        told.clear()


def test_a_bare_uri_in_the_settings_means_this_origin() -> None:
    chosen = resolve("tasks.origins", Choice.model_validate("s3://models/pictures"), "data.source.origin")
    assert (chosen.options.store.bucket, chosen.options.prefix) == ("models", "pictures/")


def test_a_uri_without_a_bucket_means_the_one_of_the_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_BUCKET", "hub")
    chosen = resolve("tasks.origins", Choice(name="s3", uri="s3:///inbox/plants"), "data.source.origin")
    assert (chosen.options.store.bucket, chosen.options.prefix) == ("hub", "inbox/plants/")


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("https://models/x", "s3://bucket/prefix"),
        ("s3://", "name a prefix, as in s3:///prefix"),
        ("s3:///", "name a prefix, as in s3:///prefix"),
        ("s3://Models/x", "name a bucket as S3 does"),
        ("s3://ab/x", "name a bucket as S3 does"),
        ("s3://a..b/x", "name a bucket as S3 does"),
        ("s3://10.0.0.1/x", "name a bucket as S3 does"),
        ("s3://models-/x", "name a bucket as S3 does"),
        ("s3://key:secret@models/x", "name a bucket as S3 does"),
        ("s3://models/a\nb", "no control characters"),
    ],
)
def test_a_uri_that_names_no_bucket_is_refused(uri: str, wanted: str) -> None:
    told = refused(BadInput, lambda: resolve("tasks.origins", Choice(name="s3", uri=uri), "data.source.origin"))
    assert told.startswith("data.source.origin.uri is ") and wanted in told


@pytest.mark.parametrize("workers", [0, 65])
def test_workers_have_a_range(workers: int) -> None:
    choice = Choice(name="s3", uri="s3://models/x", workers=workers)
    assert "workers" in refused(BadInput, lambda: resolve("tasks.origins", choice, "data.source.origin"))


def test_versions_are_recorded(s3: Server, tmp_path: Path) -> None:
    with closing(connect(s3)) as client:
        client.create_bucket(Bucket="versioned")
        client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        versions = {
            key: client.put_object(Bucket="versioned", Key=key, Body=body)["VersionId"]
            for _ in range(2)
            for key, body in small("x", 4).items()
        }
    for _ in range(2):  # the second time from the cache
        found = fetch("x", tmp_path, bucket="versioned")
        assert {f"x/{one.path}": one.version for one in found} == versions


def test_a_second_sync_only_lists_and_a_changed_object_is_the_only_one_read(
    s3: Server, watched: Relay, many: dict[str, bytes], tmp_path: Path
) -> None:
    first = fetch("many", tmp_path, workers=16)
    assert {f"many/{one.path}": one.data for one in first} == many
    assert watched.asked.count("LIST many/") == 2  # pages
    assert sorted(watched.gets()) == sorted(many)
    seen = origin.fingerprint(options("many"))
    assert fetch("many", tmp_path) == first
    assert watched.asked == ["LIST many/"] * 4
    assert watched.gets() == []

    changed = sorted(many)[700]
    upload(s3, {changed: b"another"})
    again = fetch("many", tmp_path)
    assert watched.gets() == [changed]
    assert [one for one in again if one not in first] == [again[700]] and again[700].data == b"another"
    assert origin.fingerprint(options("many")) != seen


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_cache_file_is_fetched_again(
    s3: Server, watched: Relay, tmp_path: Path, damage: bytes | None
) -> None:
    objects = small("damage")
    upload(s3, objects)
    first = fetch("damage", tmp_path)
    watched.gets()
    victim = sorted(kept(tmp_path))[3]
    sound = Path(victim).read_bytes()
    Path(victim).write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]) if damage is None else damage)
    assert fetch("damage", tmp_path) == first
    assert len(watched.gets()) == 1
    assert Path(victim).read_bytes() == sound


@pytest.mark.parametrize("event", ["overwritten", "deleted"])
def test_an_object_that_changes_during_the_sync_is_named(s3: Server, tmp_path: Path, event: str) -> None:
    objects = small(event, 100)
    upload(s3, objects)
    last = sorted(objects)[-1]
    pictures = start(event, tmp_path, workers=1)
    next(pictures)
    with closing(connect(s3)) as client:
        if event == "deleted":
            client.delete_object(Bucket=s3.bucket, Key=last)
        else:
            client.put_object(Bucket=s3.bucket, Key=last, Body=b"another")
    told = refused(BadInput, lambda: list(pictures))
    assert told.startswith(f"s3://models/{last} was changed or deleted") and told.endswith("type the command again")
    left = fetch(event, tmp_path)
    assert len(left) == (99 if event == "deleted" else 100)


def both(prefix: str, tmp_path: Path, bucket: str = "models") -> str:
    """What fetch says; fingerprint says the same, each with exit code 3."""
    told = refused(EnvironmentProblem, lambda: fetch(prefix, tmp_path, bucket=bucket))
    assert refused(EnvironmentProblem, lambda: origin.fingerprint(options(prefix, bucket=bucket))) == told
    assert not kept(tmp_path)
    return told


def test_a_missing_bucket_is_named(s3: Server, tmp_path: Path) -> None:
    assert both("any", tmp_path, "nowhere") == (
        f"bucket nowhere does not exist at {s3.endpoint}; create it, or change the uri of the origin"
    )


def test_wrong_keys_are_said_without_the_secret(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, secret in (("nobody", s3.secret), (s3.key, "a-wrong-secret")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        told = both("any", tmp_path)
        assert told.startswith(f"{s3.endpoint} does not accept these credentials")
        assert told.endswith("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") and secret not in told


def test_no_keys_at_all_are_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    told = both("any", tmp_path)
    assert "Unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told


def test_a_key_that_may_list_and_not_read_is_denied(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(s3, small("denied"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lister")
    told = refused(EnvironmentProblem, lambda: fetch("denied", tmp_path))
    assert told.startswith("s3://models/denied/ash/0000.png: access to bucket models") and "is denied" in told


def test_a_store_that_is_down_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert both("any", tmp_path).startswith("http://127.0.0.1:9: Could not connect")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "no-url")
    assert both("any", tmp_path).startswith("no-url: Invalid endpoint")


def test_what_answers_and_is_no_store_is_named(watched: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for page in (b"<html>It works!<hr>", b"<html/>", b""):
        watched.meddle = lambda path, body, page=page: page
        assert both("any", tmp_path).startswith(f"{watched.endpoint} answered ")


def test_an_overloaded_store_is_asked_three_times_and_no_more(
    s3: Server, watched: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(s3, small("busy", 60))
    watched.meddle = lambda path, body: body if path == "LIST" else None
    told = refused(EnvironmentProblem, lambda: fetch("busy", tmp_path))
    assert told.startswith("s3://models/busy/") and "answered 503" in told
    gets = watched.gets()
    assert len(set(gets)) <= 4 and all(gets.count(key) <= 3 for key in gets)  # as many as there are workers

    watched.meddle = lambda path, body: None
    refused(EnvironmentProblem, lambda: fetch("busy", tmp_path))
    assert watched.asked == ["LIST busy/"] * 3


def test_a_stumble_of_the_store_is_got_over(s3: Server, watched: Relay, tmp_path: Path) -> None:
    objects = small("stumble")
    upload(s3, objects)
    stumbles = iter([None, None])
    watched.meddle = lambda path, body: body if path == "LIST" else next(stumbles, body)
    assert {f"stumble/{one.path}": one.data for one in fetch("stumble", tmp_path)} == objects


def test_what_is_damaged_on_the_way_is_fetched_again_once(s3: Server, watched: Relay, tmp_path: Path) -> None:
    objects = small("way")
    upload(s3, objects)
    victim = sorted(objects)[2]
    damaged: list[str] = []

    def damage(path: str, body: bytes) -> bytes:
        if not path.endswith(victim) or damaged and once:
            return body
        damaged.append(path)
        return body[:-1] + bytes([body[-1] ^ 1])

    watched.meddle, once = damage, False
    told = refused(EnvironmentProblem, lambda: fetch("way", tmp_path))
    assert told.startswith(f"s3://models/{victim}: what arrived, twice,") and len(damaged) == 2
    damaged.clear()
    once = True
    assert {f"way/{one.path}": one.data for one in fetch("way", tmp_path)} == objects
    assert len(damaged) == 1


def test_nothing_usable_below_the_prefix_is_said(s3: Server, tmp_path: Path) -> None:
    told = refused(BadInput, lambda: fetch("empty", tmp_path))
    assert told.startswith("origin s3: s3://models/empty needs pictures of at least 2 classes")
    assert "s3://models/empty/<class>/name.jpg; found no picture" in told
    upload(s3, {"single/ash/0.png": png(0)})
    assert refused(BadInput, lambda: origin.fingerprint(options("single"))).endswith("found ash")


def test_large_objects_come_in_ranges_and_none_is_read_twice(s3: Server, watched: Relay, tmp_path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    one, two = (np.random.default_rng(seed).bytes(10 * MB + seed) for seed in (1, 2))
    upload(s3, {"big/ash/one.png": one, "big/birch/0.png": png(0)})
    with closing(connect(s3)) as client:  # an entity tag that is no MD5
        parts = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB, max_concurrency=2)
        client.upload_fileobj(io.BytesIO(two), s3.bucket, "big/birch/two.png", Config=parts)
    # the third range of the first object does not come through: those that did are kept
    served: list[str] = []

    def cut(path: str, body: bytes) -> bytes | None:
        served.append(path)
        return body if len(body) != 2 * MB + 1 else None

    watched.meddle = cut
    refused(EnvironmentProblem, lambda: fetch("big", tmp_path, workers=2))
    before = kept(tmp_path)
    assert len(before) >= 2
    watched.gets()
    watched.meddle = lambda path, body: body
    assert [picture.data for picture in fetch("big", tmp_path)] == [one, png(0), two]
    assert watched.asked.count("HEAD /models/big/birch/two.png") <= 1
    assert len(watched.gets()) == 7 - len(before)
    after = kept(tmp_path)
    assert {name: after[name] for name in before} == before and len(after) == 7

    name = next(name for name in after if f".{4 * MB}-" in name)
    Path(name).unlink()
    assert [picture.data for picture in fetch("big", tmp_path)] == [one, png(0), two]
    assert len(watched.gets()) == 1


def test_an_object_that_is_too_large_is_not_read(s3: Server, watched: Relay, tmp_path: Path) -> None:
    upload(s3, {"huge/ash/0.png": bytes(origin.MAX_OBJECT_BYTES + 1), "huge/birch/0.png": png(0)})
    huge, fine = fetch("huge", tmp_path)
    assert (huge.data, huge.problem) == (b"", "too_large: 32000001 bytes; at most 32000000 are taken")
    assert fine.data == png(0) and watched.gets() == ["huge/birch/0.png"]


def test_strange_keys_come_back_as_they_are(s3: Server, tmp_path: Path) -> None:
    strange = [
        "sp ace+.png",
        "q'uo\"te.png",
        "a?b#c%2e%2e.png",
        "new\nline.png",
        "\x01.png",
        "caf\u00e9.png",
        "<x>&.png",
    ]
    objects = {f"strange/{label}/{name}": name.encode() for label in ("as h", "b&%rch") for name in strange}
    upload(s3, objects)
    found = fetch("strange", tmp_path)
    assert [one.data for one in found] == [objects[key] for key in sorted(objects)]
    assert {one.label for one in found} == {"as h", "b&%rch"}
    assert all(file.startswith(str(tmp_path / "s3")) and Path(file).name.isalnum() for file in kept(tmp_path))


def test_no_key_becomes_a_path_that_leaves_its_folder() -> None:
    keys = ["p/../x.png", "p/a/../../x.png", "p//x/y.png", "p/a//x.png", "p/a\\b/x.png", "p/a/\0.png", "p/a/./x.png"]
    found = origin.arrange("p/", [Listed(key, "", 1) for key in keys])
    assert {one.item.key: (one.label, one.path) for one in found} == {
        "p/../x.png": ("..", "%2E%2E/x.png"),
        "p/a/../../x.png": ("a", "a/%2E%2E/%2E%2E/x.png"),
        "p//x/y.png": ("/x", "%2Fx/y.png"),
        "p/a//x.png": ("a", "a%2F/x.png"),
        "p/a\\b/x.png": ("a\\b", "a%5Cb/x.png"),
        "p/a/\0.png": ("a", "a/%00.png"),
        "p/a/./x.png": ("a", "a/%2E/x.png"),
    }


def test_a_cache_that_cannot_be_written_is_named(s3: Server, tmp_path: Path) -> None:
    upload(s3, small("cache"))
    (tmp_path / "s3").write_text("a file, not a folder")
    told = refused(EnvironmentProblem, lambda: fetch("cache", tmp_path))
    assert told.startswith(f"cache {tmp_path / 's3'}: ") and "GRAFT_CACHE" in told


def test_a_caller_that_stops_early_leaves_no_thread_behind(many: dict[str, bytes], tmp_path: Path) -> None:
    def at_work() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("s3_")]

    pictures = start("many", tmp_path)
    next(pictures)
    assert at_work()
    pictures.close()
    assert not at_work()
    assert 0 < len(kept(tmp_path)) < 200  # a bounded window


def test_a_killed_fetch_goes_on_where_it_was(
    s3: Server, watched: Relay, many: dict[str, bytes], tmp_path: Path
) -> None:
    code = (
        "import pathlib, sys, time; from graft.core.dataset import Request; from tasks.origins import s3\n"
        "for _ in s3.fetch(s3.Options(uri='s3://models/many'), Request('any', 3, 32, pathlib.Path(sys.argv[1]))):\n"
        "    time.sleep(0.002)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.DEVNULL)
    wait_until(lambda: len(kept(tmp_path)) > 300, 30, "300 objects in the cache")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = kept(tmp_path)
    assert len(before) < MANY
    watched.gets()
    assert len(fetch("many", tmp_path)) == MANY
    assert len(watched.gets()) == MANY - len(before)
    after = kept(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A server of its own, to be killed."""
    with weed(tmp_path_factory.mktemp("mortal")) as running:
        yield running


def test_a_server_that_is_killed_is_named_and_the_next_sync_finishes(
    mortal: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = small("x", 300)
    upload(mortal.server, objects)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", mortal.server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", mortal.server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", mortal.server.secret)
    pictures = start("x", tmp_path)
    next(pictures)
    mortal.kill()
    told = refused(EnvironmentProblem, lambda: list(pictures))
    assert told.startswith(f"{mortal.server.endpoint}: ") and "AWS_ENDPOINT_URL_S3" in told
    before = kept(tmp_path)
    assert 0 < len(before) < len(objects)
    mortal.start()
    assert {f"x/{one.path}": one.data for one in fetch("x", tmp_path)} == objects
    after = kept(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("etag", "headers", "known"),
    [
        ("900150983cd24fb0d6963f7d28e17f72", {}, True),
        ("00000000000000000000000000000000", {}, False),
        ("00000000000000000000000000000000", {"x-amz-server-side-encryption": "aws:kms"}, True),
        ("00000000000000000000000000000000", {"x-amz-server-side-encryption": "AES256"}, False),
        ("af5da9f45af7a300e3aded972f8ff687-1", {}, True),
        ("00000000000000000000000000000000-1", {}, False),
    ],
)
def test_an_entity_tag_proves_what_it_can(etag: str, headers: dict[str, str], known: bool) -> None:
    assert proofs.agree(b"abc", proofs.of_etag(etag, 3, headers)) is known


def test_checksums_of_the_store_are_used_and_those_of_parts_are_not() -> None:
    right = {"x-amz-checksum-crc32": "NSRBwg==", "x-amz-checksum-sha1": "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="}
    assert proofs.agree(b"abc", proofs.of_checksums(right)) and len(proofs.of_checksums(right)) == 2
    assert not proofs.agree(b"abd", proofs.of_checksums(right))
    assert proofs.of_checksums({"x-amz-checksum-crc32": "NSRBwg==-2"}) == {}


def test_a_store_that_never_answers_is_given_up(silence: subprocess.Popen[str]) -> None:
    _, told = silence.communicate(timeout=60)
    assert silence.returncode == 1
    assert "EnvironmentProblem: http://127.0.0.1:" in told.splitlines()[-1] and "Read timeout" in told


def listed(part: list[Listed]) -> Any:
    """A part as it travels."""
    return json.loads(json.dumps(part))


def test_parts_that_other_machines_fetched_are_what_would_have_been_fetched_here(
    s3: Server, watched: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they call the store; one object comes in pieces, and what this machine has they are not asked for."""
    count, large = elsewhere.PART_OBJECTS + 7, bytes(5 * MB) + b"end"
    objects = {key: key.encode() for key in small("parts", count)} | {"parts/birch/zz.png": large}
    upload(s3, objects)
    here, asked = tmp_path / "here", options("parts")
    first, second = origin.parts(asked, here)
    assert [len(first), len(second)] == [elsewhere.PART_OBJECTS, 8]

    for number, part in enumerate((first, second)):
        kept, made = tmp_path / f"kept{number}", tmp_path / f"made{number}"
        made.mkdir()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        origin.fetch_part(asked, listed(part), kept, made)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", watched.endpoint)
        origin.keep_part(asked, listed(part), made, here)
        assert list(origin.parts(asked, here)) == ([second] if part is first else [])
    assert watched.gets() == []

    found = fetch("parts", here)
    assert watched.gets() == []
    assert {f"parts/{one.path}": one.data for one in found} == objects


def test_a_part_that_is_not_as_it_was_made_is_refused(s3: Server, tmp_path: Path) -> None:
    upload(s3, small("odd"))
    (part,) = origin.parts(options("odd"), tmp_path / "here")
    (tmp_path / "made").mkdir()
    origin.fetch_part(options("odd"), listed(part), tmp_path / "kept", tmp_path / "made")
    file = tmp_path / "made" / elsewhere.OBJECTS

    def keep(part: list[Listed]) -> str:
        return refused(BadInput, lambda: origin.keep_part(options("odd"), part, tmp_path / "made", tmp_path / "here"))

    assert "8 objects where 7 were asked for; remove spread/" in keep(part[:-1])
    assert f"bytes of {part[0].key}, which has 1; remove spread/" in keep([part[0]._replace(size=1), *part[1:]])
    file.write_bytes(file.read_bytes()[:-100])
    assert "what was fetched elsewhere is not as it was made: " in keep(part)


def test_an_object_that_changed_before_another_machine_fetched_it_is_told(s3: Server, tmp_path: Path) -> None:
    upload(s3, small("late"))
    (part,) = origin.parts(options("late"), tmp_path / "here")
    upload(s3, {part[3].key: png(77)})
    (tmp_path / "made").mkdir()
    told = refused(
        BadInput, lambda: origin.fetch_part(options("late"), listed(part), tmp_path / "kept", tmp_path / "made")
    )
    assert told.startswith(f"s3://models/{part[3].key} was changed or deleted")
