"""What Prefect's server does about runs that died without a word, or wait for one, as six of its automations.

silent   a run that was heard of, then not for SILENT_S, is Crashed, and whatever waited for its slot goes on
stuck    a run that was handed to a worker and did not begin within STUCK_S is Crashed
cancel   a run that was told to stop and did not within STUCK_S is Cancelled: as Crashed it would be started again
again    a run tagged TAG that crashed is started again: once, as the count of its starts says, which the server keeps
unbegun  a run tagged TAG that was stuck is started again: it has done nothing, so that no harm is done
answer   a run that asked a person and was not answered in time goes on without: that means no

A run whose own code failed is Failed, not Crashed: it is not started again. Stages are not moved twice either: TAG is
on the deployments that train, not on those that promote or roll back.
"""

from dataclasses import dataclass
from typing import Any

from graft.core import waiting
from graft.core.errors import EnvironmentProblem
from infra.server import Server
from infra.service import State

TAG = "training"
HEARTBEAT_S, SILENT_S, STUCK_S = 30, 90, 240  # Prefect's advice: silence is three heartbeats
AGAIN_S = 10  # Prefect takes no less
SILENT = f"nothing was heard of its process for {SILENT_S} s: it was killed, or its machine was"
STUCK = f"its process did not begin within {STUCK_S} s: the worker's log may say why"
CANCEL = f"nobody ended its process within {STUCK_S} s: the worker was stopped, or its machine was"
AGAIN = "started again, once, because its process died; what its stages had finished is kept"
UNBEGUN = "started again, because its process never began"
ANSWER = "nobody answered in time: it goes on, and nothing is promoted"
NAMES = ("graft: silent", "graft: stuck", "graft: cancel", "graft: again", "graft: unbegun", "graft: answer")
LEFT = ["Resuming", "Cancelling", "Cancelled", "Completed", "Failed", "Crashed"]
"""What ends the waiting for an answer; that the run still stops, or still speaks, does not."""
BEFORE = ["Pending", "Submitting", "pull-step.executed"]
"""What is heard of a run before it begins; each ends the waiting for what comes after the one before."""
_MESSAGE = "prefect.state-message"


@dataclass(frozen=True)
class Recovery:
    """The automations on `server`, as a Service; there is no process to stop."""

    server: Server
    name: str = "recovery"

    def start(self) -> list[str]:
        """Have just these rules on the server; others' are left alone.

        Raises:
            EnvironmentProblem: the server is down or refuses.
            BadInput: GRAFT_ANSWER_WITHIN_S is no number of seconds.
        """
        there, within_s = self._there(), waiting.within_s()
        for rule in rules(within_s):
            found = there.get(rule["name"])
            if found is None:
                self.server.ask("POST", "/automations/", rule)
            elif not _agree(rule, found):
                self.server.ask("PUT", f"/automations/{found['id']}", rule)
        return [
            f"silent for {SILENT_S} s is Crashed; stuck for {STUCK_S} s too; a run tagged {TAG} is started again once",
            f"a question that nobody answers within {_time(within_s)} means no",
        ]

    def stop(self) -> list[str]:
        return []

    def state(self) -> State:
        try:
            there = self._there()
        except EnvironmentProblem:
            return State(False, {"state": "unknown while the server is down"})
        off = [name for name in NAMES if not there.get(name, {}).get("enabled")]
        if off:
            return State(False, {"state": f"no rule, or switched off: {', '.join(off)}; type: graft up"})
        return State(True, {"state": "on"})

    def environment(self) -> dict[str, str]:
        return {}

    def _there(self) -> dict[str, dict[str, Any]]:
        wanted = {"automations": {"name": {"any_": list(NAMES)}}}
        return {one["name"]: one for one in self.server.ask("POST", "/automations/filter", wanted)}


def _time(seconds: int) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds} s"


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
        "actions": [action],
    }


def _become(state: str, why: str) -> dict[str, Any]:
    return {"type": "change-flow-run-state", "state": state, "message": why}


def _start_again(why: str) -> dict[str, Any]:
    return _become("SCHEDULED", why) | {"name": "AwaitingRetry"}


def _crash(of: dict[str, str]) -> dict[str, Any]:
    """AGAIN_S after a run tagged TAG crashed that is `of` such a kind, if nothing was said of it since.

    At once would be too early: a worker reports an end twice, the second time after it has cleared up. And what a rule
    does while the event is still looked at by the others collides with them in SQLite, and the event is lost to them.
    """
    return _quiet(["Crashed"], ["*"], AGAIN_S) | {
        "match": {"prefect.resource.id": "prefect.flow-run.*"} | of,
        "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
    }


def _quiet(after: list[str], awaited: list[str], within_s: int) -> dict[str, Any]:
    """After one of these events, none of the awaited ones of that run for `within_s` seconds.

    Of a run that works anything is awaited: the name of a state is anybody's choice, and a list would miss some.
    """
    return {
        "posture": "Proactive",
        "after": [f"prefect.flow-run.{event}" for event in after],
        "expect": [f"prefect.flow-run.{event}" for event in awaited],
        "for_each": ["prefect.resource.id"],
        "within": float(within_s),
    }


def rules(answer_within_s: int) -> tuple[dict[str, Any], ...]:
    """The automations, as the API takes them, by NAMES."""
    return (
        _rule(
            "silent",
            SILENT,
            _quiet(["heartbeat", "Running", "Retrying", "Rerunning"], ["*"], SILENT_S),  # or before its first heartbeat
            _become("CRASHED", SILENT),
        ),
        _rule("stuck", STUCK, _quiet(BEFORE, ["*"], STUCK_S), _become("CRASHED", STUCK)),
        _rule("cancel", CANCEL, _quiet(["Cancelling"], ["*"], STUCK_S), _become("CANCELLED", CANCEL)),
        _rule("again", AGAIN, _crash({"prefect.run-count": "1", _MESSAGE: f"!{STUCK}"}), _start_again(AGAIN)),
        _rule("unbegun", UNBEGUN, _crash({_MESSAGE: STUCK}), _start_again(UNBEGUN)),
        _rule("answer", ANSWER, _quiet(["Suspended"], LEFT, answer_within_s), {"type": "resume-flow-run"}),
    )
