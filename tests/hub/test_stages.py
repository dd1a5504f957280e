"""Stages are passed in order, by the gate, and back; every move is kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from graft.core.errors import BadInput, GateRefused
from graft.hub import pointer, receipt, releases, sealed, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from graft.hub.pointer import Lost
from tests.hub.little_release import draft, published


def standing(bucket: Bucket, stage: str = "prod") -> str:
    found = pointer.standing(bucket, "plants", stage)
    return found.move.version if found else ""


def to_prod(bucket: Bucket, folder: Path, *seeds: int) -> None:
    for seed in seeds:
        version = published(bucket, folder, seed).receipt.version
        for stage in ("staging", "prod"):
            assert stages.promote(bucket, reference(f"plants@{version}"), stage).done


def test_a_published_release_is_the_candidate_and_nothing_more(bucket: Bucket, tmp_path: Path) -> None:
    published(bucket, tmp_path, 1)
    assert pointer.stages(bucket, "plants") == ["candidate"]
    published(bucket, tmp_path, 2)
    assert standing(bucket, "candidate") == "v2"
    published(bucket, tmp_path, 1)  # again: it has had its turn
    assert standing(bucket, "candidate") == "v2"


def test_no_stage_is_left_out(bucket: Bucket, tmp_path: Path) -> None:
    published(bucket, tmp_path, 1)
    with pytest.raises(BadInput, match="plants@v1 has not stood at staging, which comes before prod"):
        stages.promote(bucket, reference("plants@v1"), "prod")
    with pytest.raises(BadInput, match="live is no stage of plants@v1; its stages, in order: candidate, staging, prod"):
        stages.promote(bucket, reference("plants@v1"), "live")
    assert standing(bucket) == ""
    stages.promote(bucket, reference("plants@candidate"), "staging")
    stages.promote(bucket, reference("plants@staging"), "prod", reason="looks good")
    assert standing(bucket) == "v1"
    assert [move.reason for move in pointer.history(bucket, "plants", "prod")] == ["looks good"]


def test_promoting_what_stands_there_moves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    assert not stages.promote(bucket, reference("plants@v1"), "prod").done
    assert len(pointer.history(bucket, "plants", "prod")) == 1


def test_a_worse_release_is_refused_and_one_that_did_not_gain_by_reuse_too(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    stages.promote(bucket, reference(f"plants@{published(bucket, tmp_path, 2).receipt.version}"), "staging")
    worse = published(bucket, tmp_path, 3, accuracy=0.585).receipt.version
    with pytest.raises(GateRefused, match=r"1.5 points less accurate than v2 \(58.5% against 60.0%\)"):
        stages.promote(bucket, reference(f"plants@{worse}"), "staging")
    held = releases.publish(bucket, *draft(tmp_path, 4, gain=-0.5))
    stages.enter(bucket, held)
    with pytest.raises(GateRefused, match=r"reuse gains -0.5 points"):
        stages.promote(bucket, reference("plants@candidate"), "staging")
    assert standing(bucket, "staging") == "v2"
    slightly = published(bucket, tmp_path, 5, accuracy=0.591).receipt.version
    assert stages.promote(bucket, reference(f"plants@{slightly}"), "staging").done


def test_a_release_with_a_damaged_file_does_not_move(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    published(bucket, tmp_path, 2)
    key = "models/plants/v2/model.tflite"
    bucket._client.put_object(Bucket=bucket.store.bucket, Key=key, Body=b"x")
    with pytest.raises(BadInput, match=f"{key} is altered"):
        stages.promote(bucket, reference("plants@v2"), "staging")
    assert standing(bucket, "staging") == "v1"


def test_rollback_goes_back_step_by_step_and_forwards_again(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2, 3)
    assert stages.rollback(bucket, "plants").move.version == "v2"
    assert stages.rollback(bucket, "plants").move.version == "v1"
    with pytest.raises(BadInput, match="nothing stood at plants@prod before v1"):
        stages.rollback(bucket, "plants")
    stages.promote(bucket, reference("plants@v3"), "prod")
    assert stages.rollback(bucket, "plants").move.version == "v1"
    assert stages.rollback(bucket, "plants", to="v2").move.version == "v2"
    kinds = [(move.kind, move.version) for move in pointer.history(bucket, "plants", "prod")]
    assert kinds[:3] == [("promote", "v1"), ("promote", "v2"), ("promote", "v3")]
    assert kinds[3:] == [
        ("rollback", "v2"),
        ("rollback", "v1"),
        ("promote", "v3"),
        ("rollback", "v1"),
        ("rollback", "v2"),
    ]


def test_rollback_to_what_never_stood_there_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2)
    published(bucket, tmp_path, 3)
    with pytest.raises(BadInput, match="plants@v3 never stood at prod; those that did: v1, v2"):
        stages.rollback(bucket, "plants", to="v3")
    with pytest.raises(BadInput, match="nothing stands at plants@nowhere"):
        stages.rollback(bucket, "plants", stage="nowhere")


def test_a_rollback_to_a_damaged_release_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2)
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key="models/plants/v1/labels.txt")
    with pytest.raises(BadInput, match="models/plants/v1/labels.txt is not in bucket"):
        stages.rollback(bucket, "plants")
    assert standing(bucket) == "v2"


def test_who_comes_second_loses_and_is_told_by_whom(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_prod(bucket, tmp_path, 1)
    last = pointer.standing(bucket, "plants", "prod")
    to_prod(bucket, tmp_path, 2)
    held = releases.find(bucket, reference("plants@v1"))
    with pytest.raises(Lost, match=r"plants@prod was not moved: ann moved it to v2 at .* UTC"):
        stages._move(bucket, last, held, "prod", "promote", "")
    assert standing(bucket) == "v2"


def test_what_was_live_at_any_time_is_known(bucket: Bucket, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    to_prod(bucket, tmp_path, 1, 2)
    moves = pointer.history(bucket, "plants", "prod")
    assert stages.live(moves, before) is None
    assert [stages.live(moves, move.at) for move in moves] == moves
    just_before = stages.live(moves, moves[1].at - timedelta(microseconds=1))
    assert just_before and just_before.version == "v1"


def test_times_never_go_backwards_whatever_a_clock_says(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    found = pointer.standing(bucket, "plants", "prod")
    assert found
    ahead = found.move.model_copy(update={"serial": 2, "at": datetime.now(UTC) + timedelta(days=1), "id": "f" * 32})
    pointer.move(bucket, found, lambda at, serial: ahead)
    to_prod(bucket, tmp_path, 2)
    times = [move.at for move in pointer.history(bucket, "plants", "prod")]
    assert times == sorted(times)


def test_a_pointer_set_back_to_an_older_valid_one_is_found(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    older = bucket.read("stages/plants/prod.json", 100_000).data
    to_prod(bucket, tmp_path, 2)
    bucket._client.put_object(Bucket=bucket.store.bucket, Key="stages/plants/prod.json", Body=older)
    with pytest.raises(BadInput, match="stages/plants/prod.json is move 1 and the history knows move 2"):
        releases.find(bucket, reference("plants@prod"))
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key="stages/plants/prod.json")
    with pytest.raises(BadInput, match="stages/plants/prod.json is missing and the history knows move 2"):
        releases.find(bucket, reference("plants@prod"))


def test_a_hole_in_the_history_is_named(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2)
    key = pointer.entry_key("plants", "prod", 1)
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key=key)
    with pytest.raises(BadInput, match=f"{key} is missing from the history"):
        pointer.history(bucket, "plants", "prod")


def test_a_move_that_was_not_recorded_is_recorded_by_the_next(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2)
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key=pointer.entry_key("plants", "prod", 2))
    assert [move.version for move in pointer.history(bucket, "plants", "prod")] == ["v1", "v2"]
    to_prod(bucket, tmp_path, 3)
    assert [move.version for move in pointer.history(bucket, "plants", "prod")] == ["v1", "v2", "v3"]


def test_a_rollback_that_was_stopped_half_way_goes_no_step_further(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1, 2, 3)
    stages.rollback(bucket, "plants")
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key=pointer.entry_key("plants", "prod", 4))
    assert stages.rollback(bucket, "plants").move.version == "v2"
    assert stages.rollback(bucket, "plants").move.version == "v1"


def test_a_move_of_another_stage_in_its_place_is_found(bucket: Bucket, tmp_path: Path) -> None:
    to_prod(bucket, tmp_path, 1)
    other = bucket.read("stages/plants/staging.json", 100_000).data
    bucket._client.put_object(Bucket=bucket.store.bucket, Key="stages/plants/prod.json", Body=other)
    with pytest.raises(BadInput, match="stages/plants/prod.json is altered: it is move 1 of plants@staging"):
        pointer.standing(bucket, "plants", "prod")


def test_a_receipt_from_the_future_is_refused_by_name(bucket: Bucket, tmp_path: Path) -> None:
    held = published(bucket, tmp_path, 1)
    future = {**receipt.plain(held.receipt), "format": "graft-release/9"}
    with pytest.raises(BadInput, match="x: format: .*; a newer graft may have written it"):
        receipt.read(sealed.seal(future), "x", "plants", "v1")
