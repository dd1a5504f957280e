"""Ask a person: the run is suspended with a form, its process ends, and the answer starts it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from prefect.events import emit_event
from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from graft.core.waiting import within_s
from tasks.adapters import files
from tasks.workspace import Workspace

KEY = "release"


class Answer(RunInput):
    """What a person says to a challenger; the first choice is what no answer means."""

    decision: Literal["decline", "approve"] = Field(
        "decline", description="approve: it goes live. decline: it does not."
    )
    note: str = Field("", max_length=300, description="Why; kept in the history of the stage.")


class Question(NamedTuple):
    """A release about which a person is asked.

    Attributes:
        against: receipt of what was live then; "" if nothing was.
        asked: when, in ISO 8601.
    """

    model: str
    version: str
    against: str
    asked: str


def ask(place: Workspace, run: str, question: Question, text: str) -> None:
    """Suspend the run with the form under `text` (Markdown). What comes after is done by the run that goes on."""
    within_s()
    path = place.question(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, question._asdict())
    with _heard_of(run):
        suspend_flow_run(wait_for_input=Answer.with_initial_data(description=text), key=KEY)


def answered(place: Workspace, run: str) -> tuple[Question, Answer | None]:
    """The question of the run, and what was answered; None if nobody did in time.

    Suspends the run once more if it was started before anybody answered.
    """
    question = Question(**files.read_json(place.question(run)))
    with _heard_of(run):
        answer = suspend_flow_run(wait_for_input=Answer, key=KEY)
    due = datetime.fromisoformat(question.asked) + timedelta(seconds=within_s())
    silent = answer.decision == "decline" and not answer.note and datetime.now(UTC) >= due
    return question, None if silent else answer


@contextmanager
def _heard_of(run: str) -> Iterator[None]:
    """A suspended run says one word more: a heartbeat that came between would leave it to be taken for silent."""
    try:
        yield
    except Pause:
        emit_event("prefect.flow-run.asked", {"prefect.resource.id": f"prefect.flow-run.{run}"})
        raise
