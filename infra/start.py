"""Start a run of a deployment, as its form on Prefect's pages does, and follow it to its end.

A request that got no answer may have been heard. It is sent again with the same idempotency key, so that however often
it is sent there is one run.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from graft.core.errors import EnvironmentProblem, GateRefused, GraftError, UsageError, one_line
from infra import form
from infra.recovery import TAG
from infra.server import Server

Run = dict[str, Any]
PATIENCE_S = 60  # with a server that is busy or starts anew
POLL_S = 1.0
AGAIN_WITHIN_S = 45  # of a crash, the server starts a run of training again
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
KEY_CHARACTERS = 200


def start(server: Server, deployment: str, assignments: Sequence[str], key: str = "") -> Run:
    """The run that was started; the same one whenever the same key is given.

    Raises:
        UsageError: there is no such deployment or field.
        BadInput: a value that its field does not take.
        EnvironmentProblem: the server does not answer, or refuses.
    """
    if len(key) > KEY_CHARACTERS:
        raise UsageError(f"a key of {len(key)} characters is too long; at most {KEY_CHARACTERS} would do")
    try:
        known = server.ask("POST", "/deployments/filter", {"sort": "NAME_ASC"}, PATIENCE_S)
    except EnvironmentProblem as error:
        raise EnvironmentProblem(f"{error}; graft status says what is up, graft up starts the rest") from None
    found = next((one for one in known if one["name"] == deployment), None)
    if found is None:
        names = ", ".join(one["name"] for one in known) or "none; type: graft up"
        raise UsageError(f"'{one_line(deployment, 60)}' is no deployment; deployments: {names}")
    schema = found["parameter_openapi_schema"]
    given = form.filled_in(schema | {"required": _required(schema, found["parameters"])}, assignments)
    asked = {"parameters": found["parameters"] | given, "idempotency_key": key or str(uuid.uuid4())}
    run: Run = server.ask("POST", f"/deployments/{found['id']}/create_flow_run", asked, PATIENCE_S)
    return run


def follow(server: Server, run: Run, say: Callable[[str], None]) -> Run:
    """Say each state of the run, once, until it has ended; the run as it ended.

    Raises:
        EnvironmentProblem: the server is away for longer than PATIENCE_S.
    """
    said: set[str] = set()
    crashed = float("inf")
    while True:
        for state in server.ask("GET", f"/flow_run_states/?flow_run_id={run['id']}", None, PATIENCE_S):
            if state["id"] not in said:
                said.add(state["id"])
                say(f"{state['timestamp'][11:19]} {state['name']}{_because(state['message'])}")
        now: Run = server.ask("GET", f"/flow_runs/{run['id']}", None, PATIENCE_S)
        if now["state_type"] not in ENDED:
            crashed = float("inf")
        elif now["state_type"] == "CRASHED" and TAG in now["tags"] and now["run_count"] <= 1:
            crashed = min(crashed, time.monotonic())
            if time.monotonic() > crashed + AGAIN_WITHIN_S:
                return now
        elif now["state"]["id"] in said:
            return now
        time.sleep(POLL_S)


def problem(run: Run) -> GraftError | None:
    """What `graft start --wait` ends with; None if the run was completed."""
    told = f"run {run['name']} ended {run['state_name']}{_because(run['state']['message'])}"
    if run["state_type"] == "COMPLETED":
        return None
    if run["state_type"] == "CRASHED" or run["state_name"] == "Unavailable":
        return EnvironmentProblem(told)
    return GateRefused(told)


def page(server: Server, run: Run) -> str:
    """Address of the run's page."""
    return f"{server.page}/runs/flow-run/{run['id']}"


def _required(schema: dict[str, Any], given: dict[str, Any]) -> list[str]:
    return [name for name in schema.get("required", ()) if name not in given]


def _because(message: str | None) -> str:
    return f": {one_line(message)}" if message else ""
