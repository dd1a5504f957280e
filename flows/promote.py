"""promote, rollback: move a stage of a model, from Prefect's pages or a schedule, as the commands of that name do."""

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.states import Completed
from pydantic import Field

from flows.train import failed
from graft.core.errors import GraftError
from graft.hub import names, pointer, stages, store
from graft.hub.bucket import Bucket
from graft.hub.stages import Moved
from tasks import tables

Name = Annotated[str, Field(max_length=64)]
Reason = Annotated[str, Field(max_length=500)]


@flow(name="promote", log_prints=False)
def promote(model: Name, version: Name, stage: Name, reason: Reason = "") -> Any:
    """Move a stage to a release that stood at the stage before, that the gate lets pass, and whose bytes are sound.

    Args:
        model: Name of the model, like plants.
        version: Version, like v3; or the stage to take it from, like staging.
        stage: Where to, like staging or prod.
        reason: Why; kept in the history.
    """
    return _moved(
        lambda bucket: stages.promote(bucket, names.reference(f"{model}@{version}"), names.stage(stage), reason)
    )


@flow(name="rollback", log_prints=False)
def rollback(model: Name, stage: Name = "", to: Name = "", reason: Reason = "") -> Any:
    """Move a stage back to what stood there before.

    Args:
        model: Name of the model, like plants.
        stage: Which stage; the last one if empty.
        to: A version that stood there; the one before if empty.
        reason: Why; kept in the history.
    """

    def back(bucket: Bucket) -> Moved:
        at, version = stage and names.stage(stage), to and names.version(to)
        return stages.rollback(bucket, names.model(model), at, version, reason)

    return _moved(back)


def _moved(move: Callable[[Bucket], Moved]) -> Any:
    """Make the move and show the stage's history beside the run."""
    try:
        with closing(Bucket(store.known())) as bucket:
            made, done = move(bucket)
            history = pointer.history(bucket, made.model, made.stage)
    except GraftError as error:
        return failed(error)
    rows = [
        {"move": one.serial, "when": f"{one.at:%Y-%m-%d %H:%M:%S} UTC", "what": one.kind, "version": one.version}
        | {"by": tables.plain(one.by), "why": tables.plain(one.reason, 500)}
        for one in reversed(history)
    ]
    create_table_artifact(rows, key="history", description=f"Every move of {made.model}@{made.stage}")
    told = "now stands at" if done else "already stands at"
    return Completed(message=f"{made.model}@{made.version} {told} {made.stage}")
