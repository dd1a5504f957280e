"""What both readers of the store rest on: every byte is hashed, and an answer that breaks off is asked for again."""

import hashlib
from pathlib import Path

import pytest

from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import reading
from graft.hub.bucket import Bucket
from graft.hub.reading import ATTEMPTS, Again


@pytest.mark.parametrize("more", [b"x", b"x" * 1_000])
def test_an_object_that_is_longer_than_published_is_refused_wherever_its_end_falls(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 1_000)
    data = bytes(range(250)) * 8
    said = len(data), hashlib.sha256(data).hexdigest()
    bucket.create("whole", data)
    bucket.verify("whole", *said)
    bucket.create("longer", data + more)
    with pytest.raises(BadInput, match="longer is altered"):
        bucket.verify("longer", *said)
    with pytest.raises(BadInput, match="longer is altered"):
        bucket.download("longer", tmp_path / "file", *said)


@pytest.mark.parametrize("breaks", range(ATTEMPTS + 1))
def test_a_question_is_asked_as_often_as_it_takes_and_no_oftener(breaks: int) -> None:
    asked = 0

    def question() -> str:
        nonlocal asked
        asked += 1
        if asked <= breaks:
            raise Again("the answer broke off")
        return "answer"

    if breaks < ATTEMPTS:
        assert reading.insist(question, 0.0, lambda error: EnvironmentProblem(str(error))) == "answer"
        assert asked == breaks + 1
    else:
        with pytest.raises(EnvironmentProblem, match="broke off"):
            reading.insist(question, 0.0, lambda error: EnvironmentProblem(str(error)))
        assert asked == ATTEMPTS
