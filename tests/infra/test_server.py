"""The real server of `graft up`: what protects it, what it does about runs that died, and how it is asked."""

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem, UsageError
from infra import process, recovery, runs, start
from infra.deployments import Deployments
from infra.recovery import Recovery
from infra.server import Server
from infra.worker import POOL, TEMPLATE, Worker
from tests.conftest import wait_until

FORM = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "maxLength": 64, "description": "Name of the model."},
        "seeds": {"type": "integer", "minimum": 0, "maximum": 100, "default": 0},
    },
    "required": ["model"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server alone, with a pool and two deployments that no worker looks at."""
    found = Server(tmp_path_factory.mktemp("server"))
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("PREFECT_", "GRAFT_")):
                environment.delenv(name)
        try:
            found.start()
            Worker(found).set_pool_up()
            deploy(found, "quick", "* * * * *")
            deploy(found, "slow", "0 3 1 1 *")
            yield found
        finally:
            found.stop()
    assert process.running(found.home / "process.json") is None


def deploy(server: Server, name: str, cron: str) -> None:
    flow = server.ask("POST", "/flows/", {"name": "waits"})
    body = {
        "name": name,
        "flow_id": flow["id"],
        "work_pool_name": POOL,
        "entrypoint": "flow.py:waits",
        "parameter_openapi_schema": FORM,
        "parameters": {"seeds": 1},
        "tags": [recovery.TAG],
        "schedules": [{"schedule": {"cron": cron, "timezone": "Etc/UTC"}, "active": True}],
    }
    server.ask("POST", "/deployments/", body)


def begun(server: Server, state: dict[str, Any]) -> dict[str, Any]:
    """A run of `quick` that is in this state already."""
    (found,) = [one for one in server.ask("POST", "/deployments/filter", {}) if one["name"] == "quick"]
    body = {"parameters": {"model": "a"}, "state": {"type": "PENDING"}}
    run: dict[str, Any] = server.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)
    server.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
    return run


def state_of(server: Server, run: dict[str, Any]) -> tuple[str, str]:
    now = server.ask("GET", f"/flow_runs/{run['id']}")
    return now["state_name"], now["state"]["message"] or ""


def states_of(server: Server, run: dict[str, Any]) -> list[tuple[str, str]]:
    """Every state that the run was in."""
    found = server.ask("GET", f"/flow_run_states/?flow_run_id={run['id']}")
    return [(one["name"], one["message"] or "") for one in found]


def request(server: Server, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer to somebody without our client."""
    asked = urllib.request.Request(server.address + path, None if method == "GET" else b"{}", method=method)
    for name, value in headers.items():
        asked.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def basic(server: Server) -> str:
    return "Basic " + base64.b64encode(server.login.encode()).decode()


def test_nobody_gets_in_without_the_login(server: Server) -> None:
    for path in ("/admin/version", "/variables/name/x-health", "/csrf-token?client=a"):
        assert request(server, "GET", path)[0] == 401, path
        assert request(server, "GET", path, Authorization="Basic Z3JhZnQ6d3Jvbmc=")[0] == 401, path
    assert request(server, "POST", "/flow_runs/count")[0] in (401, 403)  # who asks first, login or token
    assert request(server, "GET", "/admin/version", Authorization=basic(server))[0] == 200


def test_a_web_page_elsewhere_can_neither_act_nor_read(server: Server) -> None:
    mine = {"Authorization": basic(server), "Content_Type": "application/json"}
    assert request(server, "POST", "/flow_runs/filter", **mine)[0] == 403  # the login alone: what a forged form has
    forged = {"Prefect_Csrf_Client": "graft", "Prefect_Csrf_Token": "guessed"}
    assert request(server, "POST", "/flow_runs/filter", **mine, **forged)[0] == 403
    for origin, allowed in (("http://evil.example", None), (server.page, server.page)):
        _, headers = request(server, "GET", "/admin/version", **mine, Origin=origin)
        assert headers.get("access-control-allow-origin") == allowed


def test_it_listens_on_the_loopback_sends_nothing_home_and_unpickles_nothing(server: Server) -> None:
    said = server.ask("GET", "/admin/settings")
    assert said["server"]["api"]["host"] == "127.0.0.1" and said["server"]["analytics_enabled"] is False
    assert said["server"]["api"]["csrf_protection_enabled"] is True
    assert said["results"]["default_serializer"] == "json"
    assert "filesystem" in said["server"]["concurrency"]["lease_storage"]
    assert server.login.partition(":")[2] not in json.dumps(said)


def test_what_it_keeps_is_for_its_owner_alone(server: Server) -> None:
    assert server.home.stat().st_mode & 0o077 == 0
    for name in ("login", "encryption", "profiles.toml", "server.json", "process.json", "server.log", "database"):
        assert (server.home / name).stat().st_mode & 0o777 == 0o600, name
    key = (server.home / "encryption").read_text().strip()
    assert len(key) == 44
    with closing(sqlite3.connect(server.home / "prefect.db")) as read:
        kept = read.execute("SELECT value FROM configuration").fetchall()
    assert key not in str(kept) and "fernet" not in str(kept).lower()  # else the key lies beside what it locks


def test_the_rules_are_had_mended_and_switched_on_and_others_are_left(server: Server) -> None:
    rules = Recovery(server)
    assert "no rule" in rules.state().facts["state"]
    assert "a question that nobody answers within 72 h means no" in rules.start()
    other = dict(recovery.rules(60)[0]) | {"name": "somebody's"}
    server.ask("POST", "/automations/", other)
    before = automations(server)
    assert set(before) == {*recovery.NAMES, "somebody's"} and rules.state().is_up
    rules.start()
    assert automations(server) == before  # a second start changes nothing
    server.ask("PATCH", f"/automations/{before['graft: silent']['id']}", {"enabled": False})
    changed = dict(recovery.rules(60)[1]) | {"actions": [{"type": "cancel-flow-run"}]}
    server.ask("PUT", f"/automations/{before['graft: stuck']['id']}", changed)
    assert rules.state().facts["state"] == "no rule, or switched off: graft: silent; type: graft up"
    rules.start()
    after = automations(server)
    assert after["graft: stuck"]["actions"] == before["graft: stuck"]["actions"]
    assert after["graft: silent"]["enabled"] and after["somebody's"] == before["somebody's"]
    assert {name: one["id"] for name, one in after.items()} == {name: one["id"] for name, one in before.items()}


def test_a_question_at_which_the_server_fails_is_asked_again(server: Server) -> None:
    history = server.home / "prefect.db"

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(history, timeout=30)) as database, database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("artifact", "hidden")
    mended = threading.Timer(2.0, rename, ("hidden", "artifact"))
    mended.start()
    began = time.monotonic()
    assert server.ask("POST", "/artifacts/filter", {}) == []
    assert time.monotonic() - began > 1.5
    mended.join()


def test_how_long_an_answer_is_waited_for_is_a_setting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_ANSWER_WITHIN_S", "120")
    assert "a question that nobody answers within 120 s means no" in Recovery(server).start()
    assert automations(server)["graft: answer"]["trigger"]["within"] == 120
    monkeypatch.setenv("GRAFT_ANSWER_WITHIN_S", "soon")
    with pytest.raises(Exception, match="^GRAFT_ANSWER_WITHIN_S is 'soon'; give seconds, from 1 to 31536000$"):
        Recovery(server).start()


def automations(server: Server) -> dict[str, Any]:
    volatile = ("created", "updated")
    found = server.ask("POST", "/automations/filter", {})
    return {one["name"]: {key: value for key, value in one.items() if key not in volatile} for one in found}


def test_the_pool_has_our_template_again_after_somebody_changed_it(server: Server) -> None:
    wanted = json.loads(TEMPLATE.read_text())
    assert server.ask("GET", f"/work_pools/{POOL}")["base_job_template"] == wanted
    theirs = json.loads(TEMPLATE.read_text())
    theirs["variables"]["properties"]["stream_output"]["default"] = True
    server.ask("PATCH", f"/work_pools/{POOL}", {"base_job_template": theirs})
    Worker(server).set_pool_up()
    assert server.ask("GET", f"/work_pools/{POOL}")["base_job_template"] == wanted


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells which process works at a run")
def test_a_run_whose_process_is_gone_is_crashed_and_one_that_has_one_goes_on(server: Server) -> None:
    gone, at_work = (begun(server, {"type": "RUNNING"}) for _ in range(2))
    waiting = begun(server, {"type": "PENDING"})
    environment = os.environ | {"PREFECT__FLOW_RUN_ID": at_work["id"]}
    code = "print(1, flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        said = runs.settle(server, POOL, worker_lives=True)  # under load it once named a third run, too
        assert f"run {gone['name']} is Crashed: {runs.GONE}" in said and at_work["name"] not in " ".join(said)
        assert state_of(server, gone) == ("AwaitingRetry", recovery.AGAIN)
        assert state_of(server, at_work)[0] == "Running" and state_of(server, waiting)[0] == "Pending"
        assert runs.settle(server, POOL, worker_lives=False) == [f"run {waiting['name']} waits: {runs.NOT_BEGUN}"]
        assert state_of(server, waiting) == ("AwaitingRetry", runs.NOT_BEGUN)
        child.kill()
    assert runs.settle(server, POOL, worker_lives=True) == [f"run {at_work['name']} is Crashed: {runs.GONE}"]
    assert runs.settle(server, POOL, worker_lives=False) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells which process works at a run")
def test_a_run_that_was_told_to_stop_and_has_no_process_is_not_started_again(server: Server) -> None:
    told = begun(server, {"type": "CANCELLING"})
    assert runs.settle(server, POOL, worker_lives=True) == [f"run {told['name']} is Cancelled: {runs.GONE}"]
    assert state_of(server, told) == ("Cancelled", runs.GONE)


def test_missed_runs_of_a_schedule_are_skipped_but_the_last(server: Server) -> None:
    planned = "deployment_id = (SELECT id FROM deployment WHERE name = 'quick') AND auto_scheduled"
    planned = f"SELECT id FROM flow_run WHERE {planned} AND state_type = 'SCHEDULED' ORDER BY expected_start_time"
    with closing(sqlite3.connect(server.home / "prefect.db", timeout=30)) as database:
        wait_until(lambda: len(database.execute(planned).fetchall()) >= 3, 90, "runs of the schedule")
        with database:
            for minutes, (one,) in zip((9, 8, 7), database.execute(planned).fetchall(), strict=False):
                due = "strftime('%Y-%m-%d %H:%M:%f', 'now', ?)"  # as if nobody had been there then
                sql = f"UPDATE flow_run SET expected_start_time = {due}, next_scheduled_start_time = {due} WHERE id = ?"
                database.execute(sql, (f"-{minutes} minutes", f"-{minutes} minutes", one))
    said = runs.skip(server, POOL)
    assert len(said) >= 2 and all(runs.SUPERSEDED in line for line in said)
    assert runs.skip(server, POOL) == []


def test_a_question_that_stood_too_long_is_let_go_on(server: Server) -> None:
    asked = begun(server, {"type": "RUNNING"})
    other = begun(server, {"type": "RUNNING"})
    for run, name in ((asked, "Suspended"), (other, "Paused")):
        details = {"pause_reschedule": name == "Suspended", "pause_key": "release"}
        state = {"type": "PAUSED", "name": name, "state_details": details}
        server.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
    assert runs.expire(server, POOL, 3600) == []
    assert runs.expire(server, POOL, 0) == [
        f"run {asked['name']} asked a person, and nobody answered in time: it goes on"
    ]
    assert state_of(server, asked)[0] == "Resuming" and state_of(server, other)[0] == "Paused"


def test_the_next_run_of_each_deployment_is_found_though_one_fills_the_list(server: Server) -> None:
    wait_until(lambda: "01-01" in Deployments(server).state().facts.get("slow", ""), 60, "runs of both schedules")
    facts = Deployments(server).state().facts
    assert list(facts) == ["quick", "slow"]
    assert re.fullmatch(r"next run 20\d\d-01-01 03:00 UTC", facts["slow"])
    assert re.fullmatch(r"next run \S+ \d\d:\d\d UTC", facts["quick"]) and not facts["quick"].endswith("03:00 UTC")


def test_a_key_that_is_given_again_is_the_same_run_and_without_one_there_is_another(server: Server) -> None:
    first, again = (start.start(server, "slow", ["model=a"], "mine")["id"] for _ in range(2))
    assert first == again
    assert len({first, *(start.start(server, "slow", ["model=a"])["id"] for _ in range(2))}) == 3
    assert server.ask("GET", f"/flow_runs/{first}")["parameters"] == {"seeds": 1, "model": "a"}


@pytest.mark.sweep
def test_however_often_and_at_once_a_run_is_asked_for_with_one_key_there_is_one(server: Server) -> None:
    times = 20
    found: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    for key, ids in found.items():
        begin = threading.Barrier(times)

        def ask(key: str, ids: list[str], begin: threading.Barrier) -> None:
            begin.wait()
            ids.append(start.start(server, "slow", [f"model={key}"], key)["id"])

        threads = [threading.Thread(target=ask, args=(key, ids, begin)) for _ in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [(len(ids), len(set(ids))) for ids in found.values()] == [(times, 1)] * 3
    assert len({ids[0] for ids in found.values()}) == 3


def test_what_is_wrong_with_a_start_is_told_before_anything_starts(server: Server) -> None:
    of_slow = {"deployments": {"name": {"any_": ["slow"]}}}
    before = server.ask("POST", "/flow_runs/count", of_slow)
    with pytest.raises(UsageError, match="^'train' is no deployment; deployments: quick, slow$"):
        start.start(server, "train", [])
    with pytest.raises(UsageError, match="^model must be given: Name of the model"):
        start.start(server, "slow", [])
    with pytest.raises(UsageError, match="^a key of 201 characters is too long"):
        start.start(server, "slow", ["model=a"], "k" * 201)
    assert server.ask("POST", "/flow_runs/count", of_slow) == before


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"type": "COMPLETED", "name": "Not promoted"}, 0),
        ({"type": "FAILED", "name": "Refused"}, 1),
        ({"type": "FAILED", "name": "Unavailable"}, 3),
        ({"type": "CANCELLED"}, 1),
    ],
)
def test_a_run_is_followed_to_its_end(server: Server, state: dict[str, Any], code: int) -> None:
    run, said = begun(server, {"type": "RUNNING"}), list[str]()
    server.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state | {"message": "why\nso"}, "force": True})
    problem = start.problem(start.follow(server, run, said.append))
    assert (problem.exit_code if problem else 0) == code
    assert [line[9:].partition(":")[0] for line in said][-2:] == ["Running", state.get("name", "Cancelled")]
    assert said[-1].endswith(": why\\nso") and re.match(r"\d\d:\d\d:\d\d ", said[-1])


def test_an_error_of_the_server_says_what_it_says(server: Server) -> None:
    with pytest.raises(EnvironmentProblem, match="HTTP 404 Not Found: Flow run not found"):
        server.ask("GET", "/flow_runs/5c7f8f6a-0000-4000-8000-000000000001")


@pytest.mark.sweep
def test_a_damaged_history_is_refused_and_a_backup_is_taken(server: Server) -> None:
    history, rules = server.home / "prefect.db", automations(server)
    with closing(sqlite3.connect(history)) as live, closing(sqlite3.connect(server.home / "backup")) as backup:
        live.backup(backup)  # as docs/operations.md says
    server.stop()
    history.write_bytes(history.read_bytes()[:5000])
    with pytest.raises(EnvironmentProblem, match="prefect.db, Prefect's history, is damaged"):
        server.start()
    assert process.running(server.home / "process.json") is None
    for extra in server.home.glob("prefect.db-*"):
        extra.unlink()
    os.replace(server.home / "backup", history)
    page = server.page
    server.start()
    assert automations(server).keys() == rules.keys() and server.page == page
    assert {name: one["id"] for name, one in automations(server).items()} == {
        name: one["id"] for name, one in rules.items()
    }
