"""A real S3 server of one's own: SeaweedFS on ports of the loopback alone, stopped and removed at the end."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import store
from infra import weed as weed_server
from infra.files import write_private

MANY = "-volume.max=10000"  # each bucket takes seven, and a test has a bucket of its own; by itself it counts free GB
UP_WITHIN_S = 60
NOBODIES = ("puller", "trainer")


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
        self._folder, self._ports = folder, weed_server.free_ports()
        self.server = Server(weed_server.endpoint(self._ports), *weed_server.new_key(), "models")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its bucket is there."""
        log = self._folder / "log"
        (self._folder / "data").mkdir(exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*weed_server.command(self._folder, self._ports, identities(self._folder, self.server)), MANY],
                cwd=self._folder,
                env=weed_server.environment(self._folder),
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
        weed_server.remove_sockets(self._folder, self._ports)


@contextmanager
def weed(folder: Path) -> Iterator[Weed]:
    """A running SeaweedFS with one empty bucket, its data in `folder`."""
    server = Weed(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def identities(folder: Path, server: Server) -> Path:
    """The keys that the server knows, in a file that only its owner reads. `lister` may not read objects.

    What NOBODIES may do a bucket's policy has to say.
    """
    keys = {"tests": (server.key, server.secret)} | {name: (name, server.secret) for name in ("lister", *NOBODIES)}
    may = {"tests": store.EVERYTHING, "lister": [f"List:{server.bucket}"]} | {name: [] for name in NOBODIES}
    path = folder / "s3.json"
    write_private(path, weed_server.identities(keys, may))
    return path


def make_bucket(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Create the bucket, if it is not there, as soon as the server answers."""
    from botocore.exceptions import BotoCoreError, ClientError

    client, end = connect(server), time.monotonic() + UP_WITHIN_S
    while True:
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"x")  # volumes turn up later than the port
            client.delete_object(Bucket=server.bucket, Key="ready")
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
