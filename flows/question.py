"""Ask a person: the run is suspended with a form, its process ends, and the answer starts it again."""

import os
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from graft.core.errors import BadInput
from tasks.adapters import files
from tasks.workspace import Workspace

WITHIN_S = "GRAFT_ANSWER_WITHIN_S"
DEFAULT_S = 3 * 24 * 3600
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


def within_s() -> int:
    """For how many seconds a question stands.

    Raises:
        BadInput: the environment says something else than a number.
    """
    said = os.environ.get(WITHIN_S, str(DEFAULT_S))
    if not said.isdigit() or int(said) < 1:
        raise BadInput(f"{WITHIN_S} is {said!r}; a number of seconds would do")
    return int(said)


def ask(place: Workspace, run: str, question: Question, text: str) -> None:
    """Suspend the run with the form under `text` (Markdown). What comes after is done by the run that goes on."""
    within_s()
    path = place.question(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, question._asdict())
    suspend_flow_run(wait_for_input=Answer.with_initial_data(description=text), key=KEY)


def answered(place: Workspace, run: str) -> tuple[Question, Answer | None]:
    """The question of the run, and what was answered; None if nobody did in time.

    Suspends the run once more if it was started before anybody answered.
    """
    question = Question(**files.read_json(place.question(run)))
    answer = suspend_flow_run(wait_for_input=Answer, key=KEY)
    due = datetime.fromisoformat(question.asked) + timedelta(seconds=within_s())
    silent = answer.decision == "decline" and not answer.note and datetime.now(UTC) >= due
    return question, None if silent else answer
