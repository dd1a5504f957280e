"""A real S3 server of one's own: SeaweedFS on ports of the loopback alone, stopped and removed at the end."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


class Weed:
    """One SeaweedFS with its data in `folder`; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ports = folder, free_ports(5)
        endpoint = f"http://127.0.0.1:{self._ports[3]}"
        self.server = Server(endpoint, secrets.token_hex(10), secrets.token_hex(20), "models")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its bucket is there."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command(self._folder, self._ports, identities(self._folder, self.server)),
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "TMPDIR": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        make_bucket(self.server, self._process, log)

    def kill(self) -> None:
        """As a power cut would: no warning, nothing flushed."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it; nothing of it stays behind but its folder."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        for port in self._ports:  # a place that no option changes
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port + GRPC_OFFSET}.sock"):
                left.unlink()


@contextmanager
def weed(folder: Path) -> Iterator[Weed]:
    """A running SeaweedFS with one empty bucket, its data in `folder`."""
    server = Weed(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def command(folder: Path, ports: list[int], config: Path) -> list[str]:
    master, volume, filer, s3_port, admin = ports
    data = folder / "data"
    data.mkdir(exist_ok=True)
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
    """The keys that the server knows, in a file that only its owner reads. The key `lister` may not read objects."""
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    known = [("tests", server.key, everything), ("lister", "lister", [f"List:{server.bucket}"])]
    path = folder / "s3.json"
    path.touch(0o600)
    path.write_text(
        json.dumps(
            {
                "identities": [
                    {"name": name, "credentials": [{"accessKey": key, "secretKey": server.secret}], "actions": actions}
                    for name, key, actions in known
                ]
            }
        )
    )
    return path


def make_bucket(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Create the bucket, if it is not there, as soon as the server answers."""
    from botocore.exceptions import BotoCoreError, ClientError

    client, end = connect(server), time.monotonic() + UP_WITHIN_S
    while True:
        try:
            client.create_bucket(Bucket=server.bucket)
            break
        except client.exceptions.BucketAlreadyOwnedByYou:
            break
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no S3 server: {error}\n{log.read_text(errors='replace')}") from None
            time.sleep(0.1)
    client.close()


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
