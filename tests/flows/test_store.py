"""Pictures from a real S3 store through the real command: fetched once, seen when they change, named if missing."""

from dataclasses import replace

import pytest

from graft.core.dataset import Request
from tasks.origins import shapes
from tests.conftest import Place
from tests.store import Server, connect


@pytest.mark.sweep
def test_a_run_reads_a_bucket_and_sees_what_changed_in_it(place: Place, s3: Server) -> None:
    client = connect(s3)
    pictures = list(shapes.fetch(shapes.Options(images_per_class=12), Request("any", 1, 32, place.root, role="target")))
    for one in pictures:
        client.put_object(Bucket=s3.bucket, Key=f"run/{one.path}", Body=one.data)
    there = {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    reached = replace(place, environment=place.environment | there)
    uri = f"s3://{s3.bucket}/run"
    done = reached.graft("run", "--set", f"data.target.origin={uri}", "--until", "ingest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ ingest" in done.stdout and s3.secret not in done.stdout + done.stderr
    assert "name: s3" in (place.root / "params.yaml").read_text()

    done = reached.graft("run", "--until", "ingest")
    assert done.returncode == 0 and "up to date" in done.stdout
    client.delete_object(Bucket=s3.bucket, Key=f"run/{pictures[0].path}")
    done = reached.graft("run", "--until", "ingest")
    assert done.returncode == 0 and "up to date" not in done.stdout, done.stdout

    done = place.run("python", "-m", "tasks.ingest")  # no credentials, no endpoint
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "AWS_ACCESS_KEY_ID" in done.stderr, done.stderr
    reached.set("data.target.origin=s3://no-such-bucket/x")
    done = reached.run("python", "-m", "tasks.ingest")
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert "bucket no-such-bucket does not exist" in done.stderr
    secrets = [path for path in place.root.rglob("*") if path.is_file() and s3.secret.encode() in path.read_bytes()]
    assert secrets == []
