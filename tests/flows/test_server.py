"""A real Prefect server and worker: what the two pins protect, and what a person sees of a run."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, Finished, Place, prefect_server, stop

DEPLOY = """
from pathlib import Path
from prefect.schedules import Cron
from flows.train import train
train.from_source(source=str(Path.cwd()), entrypoint="flows/train.py:train").deploy(
    name="nightly", work_pool_name="machine", parameters={"workspace": str(Path.cwd())},
    schedule=Cron("0 3 * * *", timezone="Europe/Berlin"), print_next_steps=False, ignore_warnings=True,
)
"""


class Server:
    """A Prefect server and the workspace whose runs it keeps."""

    def __init__(self, place: Place, url: str) -> None:
        self.place = place
        self.url = url

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        body = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC"}
        found: list[dict[str, Any]] = self.post("flow_runs/filter", body)
        return found


def eventually(ask: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            if answer := ask():
                return answer
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.5)


def start(place: Place, log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=place.root,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


@pytest.fixture(scope="module")
def server(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    place = finished[0].copy(folder / "clone")
    (folder / "prefect").mkdir()
    with prefect_server(folder / "prefect") as url:
        environment = {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "2", "DO_NOT_TRACK": "1"}
        yield Server(Place(place.root, place.environment | environment), url)


@pytest.fixture(scope="module")
def deployment(server: Server) -> dict[str, Any]:
    pool = server.place.run("prefect", "work-pool", "create", "machine", "--type", "process")
    assert pool.returncode == 0, pool.stdout + pool.stderr
    done = server.place.run("python", "-c", DEPLOY)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(server.post("deployments/filter", {})[0])


def test_a_run_on_a_server_shows_its_stages_and_what_to_look_at(server: Server) -> None:
    done = server.place.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = server.runs()
    assert run["state_type"] == "COMPLETED"
    of_this_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    assert len(server.post("task_runs/filter", of_this_run)) == 7
    artifacts = {one["key"]: one["data"] for one in server.post("artifacts/filter", of_this_run)}
    assert "| transfer | seen |" in artifacts["results"] and "Gain on seen" in artifacts["results"]
    assert (server.place.root / "reports" / "report.html").as_uri() in artifacts["report"]
    (gate,) = [one for one in server.post("task_runs/filter", of_this_run) if one["name"] == "validate"]
    of_the_gate = {
        one["key"]: one["data"]
        for one in server.post("artifacts/filter", of_this_run)
        if one["task_run_id"] == gate["id"]
    }
    assert {"data-gate", "validation"} <= of_the_gate.keys()
    found = {row["rule"]: (row["severity"], row["count"]) for row in json.loads(of_the_gate["data-gate"])}
    verdict = json.loads((server.place.root / "reports" / "validation.json").read_text())["found"]
    assert found == {rule: (one["severity"], one["count"]) for rule, one in verdict.items()} and "dark" in found
    assert (server.place.root / "reports" / "validation.html").as_uri() in of_the_gate["validation"]


def test_its_pages_show_the_run_and_the_results(server: Server, browser: Any) -> None:
    (run,) = server.runs()
    (results,) = [one for one in server.post("artifacts/filter", {}) if one["key"] == "results"]

    def shows(page: str, *wanted: str) -> None:
        browser.get(f"{server.url.removesuffix('/api')}/{page}")
        body = browser.find_element("css selector", "body")
        eventually(lambda: all(one in body.text for one in wanted), 30, f"{wanted} on the page {page}")

    shows(f"runs/flow-run/{run['id']}", run["name"], "Completed", "7 Task runs")
    shows(f"artifacts/artifact/{results['id']}", "transfer", "Gain on seen")


def test_a_cron_deployment_gets_its_runs(server: Server, deployment: dict[str, Any]) -> None:
    # with SQLAlchemy 2.1 everything else works and this list stays empty
    scheduled = eventually(lambda: server.runs(state={"type": {"any_": ["SCHEDULED"]}}), 90, "scheduled runs")
    assert {run["deployment_id"] for run in scheduled} == {deployment["id"]}


def test_the_form_offers_the_stages_and_refuses_others(server: Server, deployment: dict[str, Any]) -> None:
    schema = deployment["parameter_openapi_schema"]
    assert "finetune" in json.dumps(schema["properties"]["until"])
    assert "folder with params.yaml" in schema["properties"]["workspace"]["description"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.post(f"deployments/{deployment['id']}/create_flow_run", {"parameters": {"until": "nowhere"}})
    assert refused.value.code in (409, 422)
    refused.value.close()


def test_a_worker_brings_a_run_started_from_the_form_to_its_end(
    server: Server, deployment: dict[str, Any], tmp_path: Path
) -> None:
    parameters = {"workspace": str(server.place.root), "until": "validate"}
    run = server.post(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
    worker = start(server.place, tmp_path / "worker.log", "prefect", "worker", "start", "--pool", "machine")
    try:

        def ended() -> str | None:
            (mine,) = server.runs(id={"any_": [run["id"]]})
            return mine["state_type"] if mine["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

        assert eventually(ended, 120, "an end of the run") == "COMPLETED", (tmp_path / "worker.log").read_text()
    finally:
        stop(worker)
