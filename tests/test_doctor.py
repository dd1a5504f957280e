"""graft doctor: what is wrong, and what to do."""

import socket

from tests.conftest import Place


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
