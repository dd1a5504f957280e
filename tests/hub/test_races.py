"""Many writers want one version, or one stage: one of them gets it, the others hear who did; readers see no mixture."""

import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import TypeVar

import pytest

from graft.hub import cache, pointer, releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from graft.hub.pointer import Lost, Move
from graft.hub.receipt import Replaced
from graft.hub.releases import Held
from tests.hub import child, oracle
from tests.hub.little_release import draft, published
from tests.relay import relay

WRITERS, PROCESSES = 32, 8
CLIENTS = 4
T = TypeVar("T")


@pytest.fixture
def buckets(bucket: Bucket) -> Iterator[list[Bucket]]:
    """Clients for the writers; eight of them share one."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Bucket(bucket.store))) for _ in range(CLIENTS)]


def race(do: Callable[[int], T]) -> tuple[list[T], list[str]]:
    """What the winners among the writers got, and what the losers were told."""

    def one(writer: int) -> T | Lost:
        try:
            return do(writer)
        except Lost as lost:
            return lost

    with ThreadPoolExecutor(WRITERS) as pool:
        ends = list(pool.map(one, range(WRITERS)))
    return [end for end in ends if not isinstance(end, Lost)], [str(end) for end in ends if isinstance(end, Lost)]


def race_for_versions(buckets: list[Bucket], folder: Path, rounds: int) -> None:
    drafts = [draft(folder, seed) for seed in range(WRITERS)]
    for number in range(1, rounds + 1):
        version, ready = f"v{number}", Barrier(WRITERS)

        def publish(writer: int, version: str = version, ready: Barrier = ready) -> Held:
            ready.wait()
            return releases.publish(buckets[writer % CLIENTS], *drafts[writer], version)

        won, told = race(publish)
        assert len(won) == 1 and len(told) == WRITERS - 1
        when = f"{won[0].receipt.published.at:%Y-%m-%d %H:%M:%S} UTC"
        assert set(told) == {f"plants@{version} was taken by ann at {when}; nothing was published"}
        there = releases.find(buckets[0], reference(f"plants@{version}"))
        assert there == won[0]
        releases.verify(buckets[0], there)
    keys = buckets[0].keys("models/plants/")
    assert len(keys) == rounds * 4  # claim, two files, receipt: the losers left nothing


def race_for_a_stage(buckets: list[Bucket], folder: Path, rounds: int) -> None:
    held = [releases.publish(buckets[0], *draft(folder, seed)) for seed in range(WRITERS)]
    for number in range(1, rounds + 1):
        last, ready = pointer.standing(buckets[0], "plants", "prod"), Barrier(WRITERS)
        before = Replaced(version=last.move.version, receipt=last.move.receipt) if last else None

        def move(
            writer: int,
            last: pointer.Standing | None = last,
            ready: Barrier = ready,
            before: Replaced | None = before,
        ) -> Move:
            def wanted(at: object, serial: int) -> Move:
                ready.wait()
                return Move(
                    format=pointer.FORMAT,
                    model="plants",
                    stage="prod",
                    serial=serial,
                    kind="promote",
                    id=uuid.uuid4().hex,
                    version=held[writer].receipt.version,
                    receipt=held[writer].sha256,
                    previous=before,
                    at=at,
                    by=f"writer-{writer}",
                    reason="",
                )

            return pointer.move(buckets[writer % CLIENTS], last, wanted)

        won, told = race(move)
        assert len(won) == 1 and len(told) == WRITERS - 1
        assert won[0].serial == number
        who = f"{won[0].by} moved it to {won[0].version} at {won[0].at:%Y-%m-%d %H:%M:%S} UTC"
        assert set(told) == {f"plants@prod was not moved: {who}; look at it, then try again"}
        assert pointer.history(buckets[0], "plants", "prod")[-1] == won[0]
    everything = oracle.everything(buckets[0], "plants")
    assert oracle.complaints(everything, "plants") == []
    assert len(pointer.history(buckets[0], "plants", "prod")) == rounds


def read_during_switches(bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch, reads: int, moves: int) -> int:
    """Read while another process moves the stage; how many different changes were seen."""
    for seed in (1, 2):
        version = published(bucket, folder, seed).receipt.version
        for stage in ("staging", "prod") if seed == 1 else ("staging",):
            stages.promote(bucket, reference(f"plants@{version}"), stage)
    content = {f"v{seed}": draft(folder, seed)[1]["model.tflite"].read_bytes() for seed in (1, 2)}
    begun = folder / "begun"
    begun.touch()
    switching = child.start(folder, "switch", "plants", "v2", str(moves), str(begun))
    seen: list[str] = []
    while len(seen) < reads or switching.is_running:
        if len(seen) % 10 == 0:  # an empty cache: every byte comes anew
            monkeypatch.setenv("GRAFT_CACHE", str(folder / f"cache-{len(seen)}"))
        with begun.open("ab") as file:
            file.write(b".")
        pulled = cache.pull(reference("plants@prod"))
        assert not pulled.warning
        assert (pulled.folder / "model.tflite").read_bytes() == content[pulled.receipt.version]
        assert cache.open_folder(pulled.folder).receipt == pulled.receipt
        seen.append(pulled.receipt.version)
    switching.end().done()
    assert len(pointer.history(bucket, "plants", "prod")) == moves + 1
    return sum(one != other for one, other in zip(seen, seen[1:], strict=False))


def test_one_of_32_writers_gets_the_version(buckets: list[Bucket], tmp_path: Path) -> None:
    race_for_versions(buckets, tmp_path, 5)


@pytest.mark.sweep
def test_one_of_32_movers_moves_the_stage(buckets: list[Bucket], tmp_path: Path) -> None:
    race_for_a_stage(buckets, tmp_path, 2)


def test_a_reader_sees_old_or_new_and_never_a_mixture(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_during_switches(bucket, tmp_path, monkeypatch, reads=60, moves=10) > 2


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("contest", [race_for_versions, race_for_a_stage])
def test_200_rounds_have_200_winners(
    buckets: list[Bucket], tmp_path: Path, contest: Callable[[list[Bucket], Path, int], None]
) -> None:
    contest(buckets, tmp_path, 200)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_1000_reads_during_50_switches_see_no_mixture(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_during_switches(bucket, tmp_path, monkeypatch, reads=1000, moves=50) > 10


class Gate:
    """Holds the writes of one key back until so many have come: all of them have read what was there before."""

    def __init__(self, key: str, count: int) -> None:
        self.key, self.missing, self.lock, self.open = key, count, Lock(), Event()

    def __call__(self, told: str, answered: bool) -> bool:
        if not answered and told.startswith("PUT ") and told.endswith(self.key):
            with self.lock:
                self.missing -= 1
                if self.missing <= 0:
                    self.open.set()
            self.open.wait(60)
        return True


def ends(children: list[child.Child]) -> tuple[list[int], list[str]]:
    """Numbers of the children that ended well, and what the others said."""
    ended = [one.end() for one in children]
    won = [number for number, one in enumerate(ended) if one.exit_code == 0]
    return won, [one.line(1) for number, one in enumerate(ended) if number not in won]


def test_one_of_eight_processes_gets_the_version(bucket: Bucket, tmp_path: Path) -> None:
    with relay(bucket.store.endpoint) as between:
        between.step = Gate("/claim.json", PROCESSES)
        children = [
            child.start(
                tmp_path,
                *("publish", str(tmp_path), "plants", str(seed), "v1"),
                AWS_ENDPOINT_URL_S3=between.endpoint,
                GRAFT_USER=f"writer-{seed}",
            )
            for seed in range(PROCESSES)
        ]
        won, told = ends(children)
    assert len(won) == 1
    assert releases.find(bucket, reference("plants@v1")).receipt.contents.params == {"seed": won[0]}
    assert all(line.startswith(f"plants@v1 was taken by writer-{won[0]} at ") for line in told)


def test_without_a_wanted_version_each_of_eight_processes_gets_one_and_hears_of_the_others(
    bucket: Bucket, tmp_path: Path
) -> None:
    children = [child.start(tmp_path, "publish", str(tmp_path), "plants", str(seed)) for seed in range(PROCESSES)]
    ended = [one.end() for one in children]
    assert [one.exit_code for one in ended] == [0] * PROCESSES
    assert releases.versions(bucket, "plants") == [f"v{number}" for number in range(1, PROCESSES + 1)]
    assert len(pointer.history(bucket, "plants", "candidate")) == PROCESSES
    assert oracle.complaints(oracle.everything(bucket, "plants"), "plants") == []


def test_one_of_eight_processes_moves_the_stage_and_the_others_hear_who_did(bucket: Bucket, tmp_path: Path) -> None:
    for seed in range(PROCESSES):
        version = published(bucket, tmp_path, seed).receipt.version
        stages.promote(bucket, reference(f"plants@{version}"), "staging")
    with relay(bucket.store.endpoint) as between:
        between.step = Gate("/prod.json", PROCESSES)
        children = [
            child.start(
                tmp_path,
                *("graft", "promote", f"plants@v{number}", "prod"),
                AWS_ENDPOINT_URL_S3=between.endpoint,
                GRAFT_USER=f"mover-{number}",
            )
            for number in range(1, PROCESSES + 1)
        ]
        won, told = ends(children)
    moves = pointer.history(bucket, "plants", "prod")
    assert [(move.by, move.version) for move in moves] == [(f"mover-{won[0] + 1}", f"v{won[0] + 1}")]
    pattern = rf"plants@prod was not moved: mover-{won[0] + 1} moved it to v{won[0] + 1} at .* UTC; look at it.*"
    assert all(re.fullmatch(pattern, line) for line in told)
    assert oracle.complaints(oracle.everything(bucket, "plants"), "plants") == []
