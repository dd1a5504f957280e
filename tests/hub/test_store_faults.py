"""A store that fails or lies: told in bounded time and on one line, and nothing half-written stays behind."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import pytest

from graft.core.errors import BadInput
from graft.hub import cache, pointer, releases, signing, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tests.hub import child, oracle
from tests.hub.little_release import draft, published
from tests.relay import Relay, relay

BOUND_S = 120
NOWHERE = "http://127.0.0.1:9"

COMMANDS: dict[str, child.Command] = {
    "publish": ("publish", ".", "plants", "9"),
    "promote": ("graft", "promote", "plants@v3", "prod"),
    "rollback": ("graft", "rollback", "plants"),
    "pull": ("graft", "pull", "plants@prod", "-o", "pulled"),
    "show": ("graft", "show", "plants@prod"),
    "predict": ("graft", "predict", "plants@prod", "picture.png"),
}


def prepare(bucket: Bucket, folder: Path) -> None:
    """v1 stood at prod and v2 stands there; v3 waits at staging."""
    for seed in (1, 2, 3):
        version = published(bucket, folder, seed).receipt.version
        for stage in ("staging", "prod") if seed < 3 else ("staging",):
            stages.promote(bucket, reference(f"plants@{version}"), stage)


def hang(between: Relay) -> None:
    between.hangs = lambda told: True


def busy(between: Relay) -> None:
    between.busy = lambda told: True


def cut(between: Relay) -> None:
    between.cut = lambda told: told.startswith("GET")


def cut_listing(between: Relay) -> None:
    between.cut = lambda told: told.startswith("LIST")


def slow(between: Relay) -> None:
    between.delay_s = 2.0


def fifth_busy(between: Relay) -> None:
    dice, lock = random.Random(0), Lock()

    def one(told: str) -> bool:
        with lock:
            return dice.random() < 0.2

    between.busy = one


Fault = Callable[[Relay], None] | dict[str, str]
FAULTS: dict[str, tuple[Fault, str]] = {
    "refused": ({"AWS_ENDPOINT_URL_S3": NOWHERE}, "Could not connect"),
    "wrong key": ({"AWS_ACCESS_KEY_ID": "nobody"}, "AWS_ACCESS_KEY_ID"),
    "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
    "no key": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "AWS_ACCESS_KEY_ID"),
    "no bucket": ({"GRAFT_BUCKET": "nowhere"}, "bucket nowhere does not exist"),
    "hang": (hang, "Read timeout"),
    "busy": (busy, "503"),
    "cut": (cut, "broke off"),
    "cut listing": (cut_listing, "500"),  # what botocore makes of XML that ends half way
}
"""How to bring each about, and what is told. Faults that end in an error."""


def try_it(bucket: Bucket, folder: Path, verb: str, fault: Fault) -> tuple[child.Ended, float]:
    """Run a command while the store fails; everything is as before, and the command then does its work."""
    before = oracle.everything(bucket, "plants")
    own = {"GRAFT_CACHE": str(folder / f"cache-{verb}")}
    with relay(bucket.store.endpoint) as between:
        if callable(fault):
            fault(between)
        environment = own | {"AWS_ENDPOINT_URL_S3": between.endpoint} | (fault if isinstance(fault, dict) else {})
        started = time.monotonic()
        ended = child.run(folder, *COMMANDS[verb], **environment)
        seconds = time.monotonic() - started
    now = oracle.everything(bucket, "plants")
    assert oracle.complaints(now, "plants") == []
    assert oracle.lost(before, now) == []
    assert list(folder.rglob("*.part")) == []
    return ended, seconds


def check_refused(bucket: Bucket, folder: Path, verb: str, name: str) -> float:
    fault, told = FAULTS[name]
    before = oracle.everything(bucket, "plants")
    ended, seconds = try_it(bucket, folder, verb, fault)
    line = ended.line(3)
    assert told in line and ended.out == "", ended
    assert oracle.everything(bucket, "plants") == before
    assert not (folder / "pulled").exists()
    assert not list((folder / f"cache-{verb}").rglob("v*"))
    return seconds


@pytest.mark.parametrize("name", ["refused", "wrong secret", "no bucket", "busy", "cut"])
def test_a_store_that_fails_is_told_on_one_line(bucket: Bucket, tmp_path: Path, name: str) -> None:
    prepare(bucket, tmp_path)
    for verb in {"busy": ("promote",), "cut": ("rollback", "pull")}.get(name, ("publish", "rollback", "pull")):
        check_refused(bucket, tmp_path, verb, name)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_fault_is_told_by_every_command_in_bounded_time(
    bucket: Bucket, tmp_path: Path, verb: str, name: str, record_property: Callable[[str, object], None]
) -> None:
    prepare(bucket, tmp_path)
    seconds = check_refused(bucket, tmp_path, verb, name)
    record_property("seconds", round(seconds, 1))
    print(f"{verb}, {name}: {seconds:.1f} s")
    assert seconds < BOUND_S


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", [slow, fifth_busy])
@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "predict"])
def test_a_slow_or_busy_store_is_waited_for(bucket: Bucket, tmp_path: Path, verb: str, fault: Fault) -> None:
    prepare(bucket, tmp_path)
    ended, seconds = try_it(bucket, tmp_path, verb, fault)
    print(f"{verb}, {getattr(fault, '__name__', '')}: {seconds:.1f} s")
    assert ended.done() or verb == "publish"
    assert seconds < BOUND_S


# What was altered in the store

Harm = Callable[[bytes, bytes], bytes | None]
HARMS: dict[str, Harm] = {
    "a bit": lambda now, old: now[: len(now) // 2] + bytes([now[len(now) // 2] ^ 1]) + now[len(now) // 2 + 1 :],
    "truncated": lambda now, old: now[: len(now) // 2],
    "emptied": lambda now, old: b"",
    "a byte more": lambda now, old: now + b"\n",
    "removed": lambda now, old: None,
    "an older one": lambda now, old: old,
}
"""What becomes of an object, given a valid older one of its kind; None: it is removed."""


def pull(bucket: Bucket) -> None:
    cache.pull(reference("plants@prod"))


def pull_version(bucket: Bucket) -> None:
    cache.pull(reference("plants@v3"))


def promote(bucket: Bucket) -> None:
    stages.promote(bucket, reference("plants@v3"), "prod")


def rollback(bucket: Bucket) -> None:
    stages.rollback(bucket, "plants")


def history(bucket: Bucket) -> None:
    pointer.history(bucket, "plants", "prod")


def history_of_staging(bucket: Bucket) -> None:
    pointer.history(bucket, "plants", "staging")


def signature(version: str) -> Callable[[Bucket], str]:
    def key(bucket: Bucket) -> str:
        (found,) = (key for key in bucket.keys(f"models/plants/{version}/") if key.endswith(".sig"))
        return found

    return key


def fixed(key: str) -> Callable[[Bucket], str]:
    return lambda bucket: key


Kind = tuple[Callable[[Bucket], str], Callable[[Bucket], str], tuple[Callable[[Bucket], None], ...]]
KINDS: dict[str, Kind] = {
    "file at prod": (
        fixed("models/plants/v2/model.tflite"),
        fixed("models/plants/v1/model.tflite"),
        (pull,),
    ),
    "file to promote": (
        fixed("models/plants/v3/model.tflite"),
        fixed("models/plants/v2/model.tflite"),
        (promote, pull_version),
    ),
    "file to go back to": (
        fixed("models/plants/v1/model.tflite"),
        fixed("models/plants/v2/model.tflite"),
        (rollback,),
    ),
    "receipt at prod": (
        fixed("models/plants/v2/receipt.json"),
        fixed("models/plants/v1/receipt.json"),
        (pull, promote),
    ),
    "receipt to promote": (
        fixed("models/plants/v3/receipt.json"),
        fixed("models/plants/v2/receipt.json"),
        (promote, pull_version),
    ),
    "receipt to go back to": (
        fixed("models/plants/v1/receipt.json"),
        fixed("models/plants/v2/receipt.json"),
        (rollback,),
    ),
    "pointer": (
        fixed("stages/plants/prod.json"),
        fixed("history/plants/prod/000001.json"),
        (pull, promote, rollback, history),
    ),
    "history": (
        fixed("history/plants/prod/000001.json"),
        fixed("history/plants/staging/000001.json"),
        (rollback, history),
    ),
    "history before": (
        fixed("history/plants/staging/000001.json"),
        fixed("history/plants/prod/000001.json"),
        (promote, history_of_staging),
    ),
    "signature at prod": (signature("v2"), signature("v1"), (pull,)),
    "signature to promote": (signature("v3"), signature("v2"), (promote, pull_version)),
    "signature to go back to": (signature("v1"), signature("v2"), (rollback,)),
}
"""Each kind of object, an older one of that kind, and who has to see that it was altered."""


@pytest.fixture
def signed(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """As `prepare`, with signatures."""
    private, public = signing.new_keys(tmp_path / "keys")
    monkeypatch.setenv(signing.PRIVATE, str(private))
    monkeypatch.setenv(signing.PUBLIC, str(public))
    prepare(bucket, tmp_path)
    return bucket


def put(bucket: Bucket, key: str, data: bytes | None) -> None:
    if data is None:
        bucket._client.delete_object(Bucket=bucket.store.bucket, Key=key)
    else:
        bucket._client.put_object(Bucket=bucket.store.bucket, Key=key, Body=data)


@pytest.mark.parametrize("kind", KINDS)
def test_every_alteration_is_refused_and_the_object_named(
    signed: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    find, find_older, refusing = KINDS[kind]
    key, older = find(signed), signed.read(find_older(signed), 10**6).data
    sound = signed.read(key, 10**6).data
    for name, harm in HARMS.items():
        put(signed, key, harm(sound, older))
        harmed = oracle.everything(signed, "plants")
        for number, command in enumerate(refusing):
            monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / f"cache-{name}-{number}"))
            with pytest.raises(BadInput) as caught:
                command(signed)
            assert key in str(caught.value), f"{name}, {command.__name__}: {caught.value}"
            assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("cache-*/releases/*/models/*/v*"))
        assert oracle.everything(signed, "plants") == harmed, "a refused command wrote something"
    put(signed, key, sound)
    for command in refusing:
        command(signed)


def test_the_latest_history_entry_when_altered_stops_the_next_move(signed: Bucket) -> None:
    key = "history/plants/prod/000002.json"
    sound, older = (signed.read(f"history/plants/prod/00000{number}.json", 10**6).data for number in (2, 1))
    for name, harm in HARMS.items():
        if name == "removed":
            continue  # then the next move writes it again: the pointer is the same entry
        put(signed, key, harm(sound, older))
        for command in (promote, rollback, history):
            with pytest.raises(BadInput, match=f"{key} is altered"):
                command(signed)
    put(signed, key, None)
    promote(signed)
    assert signed.read(key, 10**6).data == sound


def test_an_altered_claim_never_makes_one_release_pass_for_another(signed: Bucket, tmp_path: Path) -> None:
    key = "models/plants/v3/claim.json"
    sound, older = (signed.read(f"models/plants/{version}/claim.json", 10**6).data for version in ("v3", "v2"))
    for name, harm in HARMS.items():
        put(signed, key, harm(sound, older))
        seed = 2 if name == "an older one" else 3
        if name == "removed":
            assert published(signed, tmp_path, seed).receipt.version == "v4"
            continue
        with pytest.raises(BadInput, match=f"{key} is altered"):
            published(signed, tmp_path, seed)
    put(signed, key, older)
    with pytest.raises(BadInput, match=f"{key} is altered: v3 is published with other contents"):
        releases.publish(signed, *draft(tmp_path, 2), "v3")


def test_the_commands_tell_an_altered_object_on_one_line(signed: Bucket, tmp_path: Path) -> None:
    key = "models/plants/v2/model.tflite"
    put(signed, key, b"x" * 3000)
    for command in (COMMANDS["pull"], COMMANDS["predict"]):
        assert key in child.run(tmp_path, *command).line(1)
    assert not (tmp_path / "pulled").exists()
    forged = json.loads(signed.read("stages/plants/prod.json", 10**6).data) | {"version": "v1"}
    put(signed, "stages/plants/prod.json", json.dumps(forged, indent=1).encode() + b"\n")
    for verb in ("promote", "rollback", "pull", "show"):
        assert "stages/plants/prod.json is altered" in child.run(tmp_path, *COMMANDS[verb]).line(1)
    assert "stages/plants/prod.json is altered" in child.run(tmp_path, "graft", "history", "plants").line(1)
