"""What `graft run` leaves on a real Prefect server: its stages, and what people look at beside them."""

import json
import urllib.request
from typing import Any

from tests.conftest import Place


class Server:
    """A Prefect server's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def last_run(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.post("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
        return found[0]


def test_a_run_on_a_server_shows_its_stages_and_what_to_look_at(copied: Place, prefect_url: str) -> None:
    server = Server(prefect_url)
    done = copied.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    run = server.last_run()
    assert run["state_type"] == "COMPLETED"
    of_this_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    assert len(server.post("task_runs/filter", of_this_run)) == 7
    artifacts = {one["key"]: one["data"] for one in server.post("artifacts/filter", of_this_run)}
    assert "| transfer | seen |" in artifacts["results"] and "Gain on seen" in artifacts["results"]
    assert (copied.root / "reports" / "report.html").as_uri() in artifacts["report"]
    (gate,) = [one for one in server.post("task_runs/filter", of_this_run) if one["name"] == "validate"]
    of_the_gate = {
        one["key"]: one["data"]
        for one in server.post("artifacts/filter", of_this_run)
        if one["task_run_id"] == gate["id"]
    }
    assert {"data-gate", "validation"} <= of_the_gate.keys()
    found = {row["rule"]: (row["severity"], row["count"]) for row in json.loads(of_the_gate["data-gate"])}
    verdict = json.loads((copied.root / "reports" / "validation.json").read_text())["found"]
    assert found == {rule: (one["severity"], one["count"]) for rule, one in verdict.items()} and "dark" in found
    assert (copied.root / "reports" / "validation.html").as_uri() in of_the_gate["validation"]
