"""graft doctor: what is wrong, and what to do."""

import socket

import boto3
import pytest

from graft.hub import conformance
from tasks import doctor
from tests import liar
from tests.conftest import Place
from tests.store import Server


def examined(place: Place, **environment: str) -> tuple[int, str]:
    done = Place(place.root, place.environment | environment).graft("doctor")
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_sound_clone_is_told_so(place: Place) -> None:
    code, told = examined(place)
    assert code == 0, told
    for wanted in ("Python", "tensorflow", "fastapi", "sqlalchemy", "git", "params.yaml", "disk", "origin shapes"):
        assert wanted in told
    assert "✗" not in told


def test_a_store_that_is_down_and_a_wrong_pin_are_named_with_the_remedy(place: Place) -> None:
    lock = place.root / "requirements.lock"
    lock.write_text(lock.read_text().replace("fastapi==", "fastapi==0.1", 1))
    params = place.root / "params.yaml"
    params.write_text(params.read_text().replace("seed: 7", "seed: -7"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, told = examined(
            place,
            GRAFT_BUCKET="models",
            AWS_ENDPOINT_URL_S3=endpoint,
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
            PREFECT_API_URL=f"{endpoint}/api",
        )
    assert code == 3
    broken = [line for line in told.splitlines() if line.startswith("✗")]
    assert {line.split()[1] for line in broken} == {"fastapi", "params.yaml", "object", "Prefect"}
    assert endpoint in told and "seed is -7" in told and "make .venv/ready" in told


def test_a_store_is_tried_and_a_key_that_cannot_try_it_is_a_note(
    credentials: None, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_BUCKET", s3.bucket)
    monkeypatch.setattr(conformance, "PROMISES", conformance.PROMISES[:2])  # the races take seconds
    there, kept = doctor._store()
    assert (there.state, kept.state, kept.found) == ("fine", "fine", "all 2 kept")
    with liar.liar(s3, liar.listing(liar.without_its_last)) as lying:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", lying.endpoint)
        there, broken = doctor._store()
    assert (there.state, broken.state) == ("fine", "broken") and "listed 0" in broken.found
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lister")
    boto3.setup_default_session()  # it keeps the first credentials that it finds
    there, untried = doctor._store()
    assert (there.state, untried.state) == ("fine", "note") and "denied" in untried.found
