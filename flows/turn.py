"""Who goes first: a scheduled run gives way to one that goes on, others wait for it; what was asked twice runs once.

Prefect's own limits are not used for this: one that cancels the new run can wedge the schedule behind a stuck one.
"""

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.events import emit_event

from graft.core.errors import BadInput

POLL_S = 2.0
TWICE_S = 10.0
"""The same form, sent again within so many seconds, was sent by mistake."""
YOUNG_S = 10.0
"""A scheduled run has looked around, and given way if it had to, so many seconds after it began."""
SKIPPED = "Skipped"
AT_WORK = (StateType.RUNNING, StateType.CANCELLING)


def mine() -> FlowRun:
    """The flow run at hand, as the server has it now."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("outside of a flow run")
    with get_client(sync_client=True) as client:
        return client.read_flow_run(context.flow_run.id)


def announce(me: FlowRun) -> None:
    """Tell the server's automations that a scheduled run was planned.

    Its scheduler does so silently. Every later event of a run that was planned within five minutes of its start is said
    to follow that one, and would be put off for a quarter of an hour in waiting for it: a crash too.
    """
    if not me.auto_scheduled or me.run_count > 1:
        return
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(me.id)
    for one in sorted(states, key=lambda state: state.timestamp)[:1]:
        emit_event(
            f"prefect.flow-run.{one.name}",
            {"prefect.resource.id": f"prefect.flow-run.{me.id}", "prefect.resource.name": me.name},
            occurred=one.timestamp,
            id=one.id,
        )


def needless(me: FlowRun) -> str:
    """Why this run has nothing to do here: it is late, a double, or the schedule's while another goes on; or ""."""
    if me.deployment_id is None:
        return ""
    with get_client(sync_client=True) as client:
        others = [one for one in _of_deployment(client, me.deployment_id) if one.id != me.id]
        while me.auto_scheduled:
            later = [one for one in others if one.auto_scheduled and _due(me) < _due(one) <= datetime.now(UTC)]
            if later := [one for one in later if _serves(one)]:
                return f"missed; {later[-1].name}, due {_due(later[-1]):%Y-%m-%d %H:%M} UTC, runs in its place"
            going = _at_work(client, me)
            if not going:
                return ""
            if not all(_gives_way(one, me) for one in going):
                return f"{going[0].name} is still going on"
            time.sleep(POLL_S)
    for one in others:
        apart = _created(me) - _created(one)
        if not one.auto_scheduled and one.parameters == me.parameters and _is_first(one, me):
            if apart <= timedelta(seconds=TWICE_S):
                return f"{one.name} was asked for the same {apart.total_seconds():.0f} s before"
    return ""


def wait(me: FlowRun) -> None:
    """Until nobody is at work who began before this run."""
    told = ""
    while True:
        with get_client(sync_client=True) as client:
            first = [one for one in _at_work(client, me) if (_began(one), one.id) < (_began(me), me.id)]
        if not first:
            return
        if first[0].name != told:
            told = first[0].name
            get_run_logger().info("waits for %s to end", told)
        time.sleep(POLL_S)


def require_alive(me: FlowRun) -> None:
    """Before anything that others see: a run that was stopped for long, and given up meanwhile, must not go on.

    Where the run was started again, this process ends at once: what it says of the run would be taken for the other's.

    Raises:
        BadInput: the server has given it up.
    """
    with get_client(sync_client=True) as client:
        now = client.read_flow_run(me.id)
    if now.run_count != me.run_count:
        get_run_logger().warning("start %d of this run was given up; start %d goes on", me.run_count, now.run_count)
        logging.shutdown()
        os._exit(0)
    if now.state is None or not now.state.is_running():
        state = now.state.name if now.state else "no state"
        raise BadInput(f"this run was given up meanwhile ({state}); nothing is published")


def _at_work(client: SyncPrefectClient, me: FlowRun) -> list[FlowRun]:
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["retrain"])),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": [one.value for one in AT_WORK]}}}),
        sort=FlowRunSort.START_TIME_ASC,
    )
    return [one for one in found if one.id != me.id]


def _of_deployment(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"deployment_id": {"any_": [str(deployment)]}}),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )[::-1]


def _serves(one: FlowRun) -> bool:
    """Whether it does, did or will do what an earlier scheduled run would."""
    if one.state is None or one.state.is_final():
        return one.state is not None and one.state.is_completed() and one.state.name != SKIPPED
    return True


def _gives_way(one: FlowRun, me: FlowRun) -> bool:
    """Whether it has only just begun, is due before this scheduled run, and so will find that this one is later."""
    young = one.state is not None and one.state.is_running() and _age(one.state) < YOUNG_S
    return young and bool(one.auto_scheduled) and one.deployment_id == me.deployment_id and _due(one) < _due(me)


def _age(state: State[Any]) -> float:
    return (datetime.now(UTC) - state.timestamp).total_seconds()


def _is_first(one: FlowRun, other: FlowRun) -> bool:
    return (_created(one), one.id) < (_created(other), other.id)


def _due(run: FlowRun) -> datetime:
    return run.expected_start_time or _created(run)


def _created(run: FlowRun) -> datetime:
    return run.created or datetime.max.replace(tzinfo=UTC)


def _began(run: FlowRun) -> datetime:
    return run.start_time or datetime.max.replace(tzinfo=UTC)
