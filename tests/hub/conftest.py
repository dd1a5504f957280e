"""A real S3 server of one's own: SeaweedFS on ports of the loopback alone, stopped and removed at the end."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

WEED = Path(sys.executable).parent / "weed"
GRPC_OFFSET = 10_000  # SeaweedFS adds it to every port
UP_WITHIN_S = 60


@dataclass(frozen=True)
class Server:
    """A running server with one bucket."""

    endpoint: str
    key: str
    secret: str
    bucket: str


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("s3")
    ports = free_ports(5)
    server = Server(f"http://127.0.0.1:{ports[3]}", secrets.token_hex(10), secrets.token_hex(20), "models")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(folder, ports, identities(folder, server)),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        make_bucket(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for port in ports:  # a place that no option changes
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port + GRPC_OFFSET}.sock"):
                left.unlink()


def command(folder: Path, ports: list[int], config: Path) -> list[str]:
    master, volume, filer, s3_port, admin = ports
    data = folder / "data"
    data.mkdir()
    return [
        str(WEED),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        "-master.telemetry=false",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-filer.localSocket={folder / 'filer.sock'}",
        f"-s3.port={s3_port}",
        f"-s3.localSocket={folder / 's3.sock'}",
        f"-s3.config={config}",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-admin.port={admin}",
        "-admin.ui=false",
        "-webdav=false",
        "-disableHttp=true",
    ]


def identities(folder: Path, server: Server) -> Path:
    """The only key that the server knows, in a file that only its owner reads."""
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": server.key, "secretKey": server.secret}]
    path = folder / "s3.json"
    path.touch(0o600)
    path.write_text(json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": actions}]}))
    return path


def make_bucket(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Create the bucket as soon as the server answers."""
    from botocore.exceptions import BotoCoreError, ClientError

    client, end = connect(server), time.monotonic() + UP_WITHIN_S
    while True:
        try:
            client.create_bucket(Bucket=server.bucket)
            client.close()
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no S3 server: {error}\n{log.read_text(errors='replace')}") from None
            time.sleep(0.1)


def connect(server: Server) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}, proxies={}),
    )


def free_ports(count: int) -> list[int]:
    """Ports that are free and whose gRPC twins are; both lie below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = 12_000 + secrets.randbelow(10_000)
        if port not in found and is_free(port) and is_free(port + GRPC_OFFSET):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
