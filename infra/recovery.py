"""What Prefect's server does about runs that died without a word, as three of its automations.

silent   a run that was heard of, then not for SILENT_S, is Crashed, and whatever waited for its slot goes on
stuck    a run that was handed to a worker, or told to stop, and did not begin or end within STUCK_S, is Crashed
again    a run tagged TAG that crashed is started again: once, as the count of its starts says, which the server keeps

A run whose own code failed is Failed, not Crashed: it is not started again. Stages are not moved twice either: TAG is
on the deployments that train, not on those that promote or roll back.
"""

from dataclasses import dataclass
from typing import Any

from graft.core.errors import EnvironmentProblem
from infra.server import Server
from infra.service import State

TAG = "training"
HEARTBEAT_S, SILENT_S, STUCK_S = 30, 90, 240  # Prefect's advice: silence is three heartbeats
SILENT = f"nothing was heard of its process for {SILENT_S} s: it was killed, or its machine was"
STUCK = f"its process did not begin, or end, within {STUCK_S} s: the worker's log may say why"
AGAIN = "started again, once, because its process died; what its stages had finished is kept"


@dataclass(frozen=True)
class Recovery:
    """The automations on `server`, as a Service; there is no process to stop."""

    server: Server
    name: str = "recovery"

    def start(self) -> list[str]:
        """Have just these rules on the server; others' are left alone.

        Raises:
            EnvironmentProblem: the server is down or refuses.
        """
        there = self._there()
        for rule in RULES:
            found = there.get(rule["name"])
            if found is None:
                self.server.ask("POST", "/automations/", rule)
            elif not _agree(rule, found):
                self.server.ask("PUT", f"/automations/{found['id']}", rule)
        return [
            f"silent for {SILENT_S} s is Crashed; stuck for {STUCK_S} s too; a run tagged {TAG} is started again once"
        ]

    def stop(self) -> list[str]:
        return []

    def state(self) -> State:
        try:
            there = self._there()
        except EnvironmentProblem:
            return State(False, {"state": "unknown while the server is down"})
        off = [rule["name"] for rule in RULES if not there.get(rule["name"], {}).get("enabled")]
        if off:
            return State(False, {"state": f"no rule, or switched off: {', '.join(off)}; type: graft up"})
        return State(True, {"state": "on"})

    def environment(self) -> dict[str, str]:
        return {}

    def _there(self) -> dict[str, dict[str, Any]]:
        wanted = {"automations": {"name": {"any_": [rule["name"] for rule in RULES]}}}
        return {one["name"]: one for one in self.server.ask("POST", "/automations/filter", wanted)}


def _agree(wanted: Any, found: Any) -> bool:
    """Whether `found`, to which the server added ids and defaults, says what `wanted` does; lists are sets to it."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_agree(value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(any(_agree(one, other) for other in found) for one in wanted)
    return bool(wanted == found)


def _rule(name: str, description: str, trigger: dict[str, Any], action: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"graft: {name}",
        "description": description,
        "enabled": True,
        "trigger": {"type": "event", "threshold": 1, "match": {"prefect.resource.id": "prefect.flow-run.*"}} | trigger,
        "actions": [{"type": "change-flow-run-state"} | action],
    }


def _quiet(after: list[str], within_s: int) -> dict[str, Any]:
    """After one of these events, nothing of that run for `within_s` seconds.

    What to expect is a wildcard: the name of a state is anybody's choice, and a list of them would miss some.
    """
    return {
        "posture": "Proactive",
        "after": [f"prefect.flow-run.{event}" for event in after],
        "expect": ["prefect.flow-run.*"],
        "for_each": ["prefect.resource.id"],
        "within": float(within_s),
    }


RULES = (
    _rule(
        "silent",
        SILENT,
        _quiet(["heartbeat", "Running", "Retrying", "Rerunning"], SILENT_S),  # it may die before its first heartbeat
        {"state": "CRASHED", "message": SILENT},
    ),
    _rule(
        "stuck",
        STUCK,
        _quiet(["Pending", "Submitting", "Cancelling"], STUCK_S),
        {"state": "CRASHED", "message": STUCK},
    ),
    _rule(
        "again",
        AGAIN,
        {
            "posture": "Reactive",
            "expect": ["prefect.flow-run.Crashed"],
            "match": {"prefect.resource.id": "prefect.flow-run.*", "prefect.run-count": "1"},
            "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
            "for_each": ["prefect.resource.id"],
            "within": 0.0,
        },
        {"state": "SCHEDULED", "name": "AwaitingRetry", "message": AGAIN},
    ),
)
