"""The compose file, without Docker: what it names is there, nothing is open that should not be, its commands work."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib import resources, util
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from graft.hub import releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from graft.hub.store import Store
from infra import compose, server, weed, worker
from infra.server import Server
from tests.conftest import BIN, Place, make_place, stop, wait_until
from tests.hub.little_release import draft

INFRA = Path(__file__).parents[2] / "infra"
FILE = YAML(typ="safe").load(INFRA / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = [name for name, one in SERVICES.items() if one["image"] == "graft:locked"]


def test_every_file_and_program_that_it_names_is_there() -> None:
    for name in OURS:
        build = SERVICES[name]["build"]
        assert (INFRA / build["context"] / build["dockerfile"]).is_file()
        program, *arguments = SERVICES[name]["command"]
        assert (BIN / program).exists(), program
        if program == "python":
            assert arguments[0] == "-m" and util.find_spec(arguments[1])
        assert f"AS {build['target']}" in (INFRA / "Dockerfile").read_text()
    copied = next(line.split() for line in (INFRA / "Dockerfile").read_text().splitlines() if line.startswith("COPY"))
    assert all((INFRA.parent / one).is_file() for one in copied[1:-1])
    assert {f"!{one}" for one in copied[1:-1]} < set((INFRA / "Dockerfile.dockerignore").read_text().split())
    install = (INFRA / "Dockerfile").read_text()
    assert install.count("--require-hashes") == 2 and install.index("USER 1000") > install.index("RUN")


def test_what_needs_a_secret_gets_it_from_a_file_that_is_made_once(tmp_path: Path) -> None:
    written = compose.write(tmp_path / "compose")
    named = [one for service in SERVICES.values() for one in service.get("env_file", ())]
    named += [one["file"] for one in FILE["secrets"].values()]
    assert {Path(one).name for one in named} == set(written)
    assert {str(Path(one).parent) for one in named} == {"../.graft/compose"}
    before = {name: (tmp_path / "compose" / name).read_text() for name in written}
    assert all((tmp_path / "compose" / name).stat().st_mode & 0o777 == 0o600 for name in written)
    assert compose.write(tmp_path / "compose") == []
    assert {name: (tmp_path / "compose" / name).read_text() for name in written} == before
    postgres, of_server, of_worker = (environment(before[f"{name}.env"]) for name in ("postgres", "server", "worker"))
    assert postgres["POSTGRES_PASSWORD"] in of_server["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert of_server["PREFECT_SERVER_API_AUTH_STRING"] == of_worker["PREFECT_API_AUTH_STRING"]
    assert of_worker["AWS_SECRET_ACCESS_KEY"] in before["s3.json"]
    assert not any(one in (INFRA / "compose.yaml").read_text() for one in (*postgres.values(),) if len(one) > 10)


def test_nothing_is_open_but_two_ports_of_the_loopback_and_all_comes_back_after_a_reboot() -> None:
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert published == ["127.0.0.1:8333:8333", "127.0.0.1:4200:4200"]
    for name, one in SERVICES.items():
        assert one["restart"] == ("on-failure" if name == "join" else "unless-stopped")
        assert "healthcheck" in one or name == "join"
        assert one["security_opt"] == ["no-new-privileges:true"] and one["logging"]["options"]["max-size"]
        assert ":" in one["image"] and "latest" not in one["image"]
    for name in OURS:
        assert SERVICES[name]["read_only"] and SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["user"] == "${GRAFT_UID:-1000}:${GRAFT_GID:-1000}"


def test_server_worker_and_store_are_set_as_those_of_graft_up() -> None:
    wanted = {name: value for name, value in server.SETTINGS.items() if name != "PREFECT_SERVER_API_HOST"}
    assert wanted.items() <= SERVICES["server"]["environment"].items()
    assert worker.SETTINGS.items() <= SERVICES["worker"]["environment"].items()
    own = weed.command(Path("/"), [1, 2, 3, 4, 5], Path("/x"))[1:]
    closed = {one for one in own if one.endswith(("=false", "=true", "=0"))}
    assert closed <= set(SERVICES["store"]["command"])


def test_workers_on_kubernetes_are_started_as_those_of_compose_and_may_no_more() -> None:
    cluster, policy = YAML(typ="safe").load_all(INFRA / "dask.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    dask, spec = SERVICES["dask"], cluster["spec"]
    pods = {name: spec[name]["spec"] for name in ("worker", "scheduler")}
    [worker], [scheduler] = (one["containers"] for one in pods.values())
    said = {one["name"]: one["value"] for one in worker["env"]}
    assert said.items() <= dask["environment"].items()
    assert worker["args"][worker["args"].index("--nthreads") + 1] == "1"  # a job has the networks to itself
    assert dask["command"][dask["command"].index("--nthreads") + 1] == "1"
    for pod in pods.values():
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        [only] = pod["containers"]
        assert only["securityContext"]["readOnlyRootFilesystem"] and only["resources"]["limits"]["memory"]
        mounted = {one["name"] for one in only["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}
        assert f"AS {only['image'].partition(':')[2]}" in (INFRA / "Dockerfile").read_text()
    assert not any("KEY" in name or "AUTH" in name for name in said)
    ports = {one["name"]: one["containerPort"] for one in scheduler["ports"]}
    assert ports == {one["targetPort"]: one["port"] for one in spec["scheduler"]["service"]["ports"]}
    guarded = policy["spec"]["podSelector"]["matchLabels"]
    assert guarded == spec["scheduler"]["service"]["selector"] and policy["spec"]["policyTypes"] == ["Ingress"]


def test_the_image_with_the_code_takes_the_packages_that_jobs_import() -> None:
    text, ignored = (INFRA / "Dockerfile").read_text(), (INFRA / "Dockerfile.dockerignore").read_text().split()
    complete = text.partition("AS complete")[2].splitlines()
    copied = [line.split() for line in complete if line.startswith("COPY")]
    assert [(one[1], one[2]) for one in copied] == [(name, f"/graft/{name}") for name in ("graft", "tasks", "flows")]
    assert {f"!{one[1]}" for one in copied} <= set(ignored) and (INFRA.parent / "graft").is_dir()


@pytest.mark.parametrize("kind", ["process", "docker", "kubernetes"])
def test_a_job_template_says_what_prefect_knows_and_asks_for_what_it_uses(kind: str) -> None:
    ours = json.loads((INFRA / "pools" / f"{kind}.json").read_text())
    found = resources.files("prefect.server.api.collections_data.views") / "aggregate-worker-metadata.json"
    known = {name: one for package in json.loads(found.read_text()).values() for name, one in package.items()}
    theirs = known[kind]["default_base_job_configuration"]
    assert ours["job_configuration"].keys() <= theirs["job_configuration"].keys()
    used = set(placeholders(ours["job_configuration"]))
    assert used == set(ours["variables"]["properties"])
    assert ours["variables"]["properties"]["stream_output"]["default"] is False
    if kind != "process":
        environment = ours["variables"]["properties"]["env"]["default"]
        assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        assert not any("KEY" in name or "AUTH" in name for name in environment)


def placeholders(value: Any) -> Iterator[str]:
    """Names in {{ }} anywhere below."""
    if isinstance(value, str) and value.startswith("{{"):
        yield value.strip("{} ").removesuffix("}}-").strip("{} ")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from placeholders(one)


def environment(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_its_commands_bring_a_run_to_its_end(tmp_path: Path) -> None:
    """Store, server, join and worker as it starts them, with this machine's names and ports, the history in a file."""
    place = make_place(tmp_path / "clone", tmp_path / "home")
    folder = place.root / ".graft" / "compose"
    assert place.run("python", "-m", "infra.compose").returncode == 0
    master, volume, filer, s3, api, health = weed.free_ports() + [weed.free_ports()[0]]
    for name in ("data", "prefect"):
        (tmp_path / name).mkdir()
    here = {
        "-ip=store": "-ip=127.0.0.1",
        "0.0.0.0": "127.0.0.1",
        "8333": str(s3),
        "4200": str(api),
        "8080": str(health),
        "http://store:": "http://127.0.0.1:",
        "http://server:": "http://127.0.0.1:",
        "/run/secrets/s3": str(folder / "s3.json"),
        "-dir=/data": f"-dir={tmp_path / 'data'}",
        "/graft/.graft": str(place.root / ".graft"),
        "/prefect": str(tmp_path / "prefect"),
    }

    def local(text: str) -> str:
        for name, value in here.items():
            text = value if text == name == "/prefect" else text.replace(name, value) if name != "/prefect" else text
        return text

    def of(name: str) -> Place:
        said = {key: local(value) for key, value in SERVICES[name].get("environment", {}).items()}
        for file in SERVICES[name].get("env_file", ()):
            said |= environment((folder / Path(file).name).read_text())
        said.pop("PREFECT_SERVER_DATABASE_CONNECTION_URL", None)
        return Place(place.root, place.environment | said | {"PREFECT_WORKER_WEBSERVER_PORT": str(health)})

    def command(name: str, *more: str) -> list[str]:
        program, *arguments = [local(one) for one in SERVICES[name]["command"]]
        return [str(BIN / program), *arguments, *more]

    def healthy(name: str) -> bool:
        _, _, *test = [local(one) for one in SERVICES[name]["healthcheck"]["test"]]
        return subprocess.run([sys.executable, *test], capture_output=True, check=False).returncode == 0

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        log = running.enter_context((tmp_path / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            command(name, *more), cwd=tmp_path / "data", env=of(name).environment, stdout=log, stderr=log
        )
        running.callback(stop, process)
        wait_until(lambda: healthy(name), 120, f"a healthy {name}")
        return process

    with ExitStack() as running:
        ports = {"master": master, "volume": volume, "filer": filer, "admin": weed.free_ports()[0]}
        sockets = [f"-{one}.localSocket={one}.sock" for one in ("filer", "s3")]
        start("store", *[f"-{name}.port={port}" for name, port in ports.items()], *sockets)
        start("server")
        for _ in range(2):  # again changes nothing
            joined = of("join").run(*SERVICES["join"]["command"])
            assert joined.returncode == 0, joined.stdout + joined.stderr
        assert "/deployments/deployment/" in joined.stdout and "a question that nobody answers" in joined.stdout
        start("worker")
        user = of("worker")
        with pytest.MonkeyPatch.context() as mine:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                mine.setenv(name, user.environment[name])
            with closing(Bucket(Store("graft", f"http://127.0.0.1:{s3}"))) as bucket:
                stages.enter(bucket, releases.publish(bucket, *draft(tmp_path, 1)))
                stages.promote(bucket, reference("plants@v1"), "staging")
        run = user.graft("start", "promote", "model=plants", "version=v1", "stage=prod", "--wait")
        assert run.returncode == 0 and "plants@v1 now stands at prod" in run.stdout, run.stdout + run.stderr
        assert user.graft("status", "recovery", "deployed").returncode == 0
        assert Server(place.root).home.joinpath("login").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "prefect")
