"""A step of a flow that is no stage: a Prefect task whose refusal is one line, not a traceback."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.client.schemas.objects import State

from flows.train import UNAVAILABLE, failed
from graft.core.errors import EnvironmentProblem, GateRefused, GraftError

P = ParamSpec("P")
R = TypeVar("R")


def step(work: Callable[P, R], run_name: str = "") -> Callable[P, R]:
    """`work` as a task of its own name. Takes and returns names, paths and small reports.

    Args:
        run_name: of each of its runs, with arguments in braces; the task's name unless given.
    """
    name = work.__name__.strip("_")

    @task(name=name, task_run_name=run_name or name, retries=0, persist_result=False)
    @functools.wraps(work)
    def run(*arguments: P.args, **named: P.kwargs) -> Any:
        try:
            return work(*arguments, **named)
        except GraftError as error:
            return failed(error)

    def call(*arguments: P.args, **named: P.kwargs) -> R:
        state: State[R] = run(*arguments, **named, return_state=True)
        if state.is_completed():
            return state.result()
        kind = EnvironmentProblem if state.name == UNAVAILABLE else GateRefused
        raise kind(state.message or f"{name} ended {state.name}")

    return call
