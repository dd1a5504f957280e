"""The commands that keep data, features and models in the store, and look whether they are still what they were."""

import gc
from typing import Annotated

import typer

app = typer.Typer()

MANY = 50_000
"""Objects made before garbage is looked for. Loading boto3 makes many and hardly any garbage; that, and looking through
all of them once more at the end, would take a fifth of a second."""


@app.command()
def push() -> None:
    """Bring what the runs here made to the store: data, features, models and the record of each run."""
    from rich.console import Console

    from tasks import remote
    from tasks.workspace import Workspace

    remote.push(Workspace.find(), Console(soft_wrap=True))


@app.command()
def shards() -> None:
    """Bring the packed rows to the store in shards, for trainings that stream them: `train.data: store`."""
    from rich.console import Console

    from tasks import streams
    from tasks.workspace import Workspace

    streams.push(Workspace.find(), Console(soft_wrap=True))


def pull() -> None:
    """Bring what dvc.lock refers to from the store: `graft pull --data`."""
    gc.set_threshold(MANY)
    from rich.console import Console

    from tasks import remote
    from tasks.workspace import Workspace

    remote.pull(Workspace.find(), Console(soft_wrap=True))
    gc.freeze()


@app.command()
def audit(
    cache: Annotated[bool, typer.Option("--cache", help="Look into the cache here; both if neither is named.")] = False,
    remote: Annotated[bool, typer.Option("--remote", help="Look into the store.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Not only what dvc.lock refers to.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend the one from the other; nothing is deleted.")] = False,
) -> None:
    """Read every object and compare it with its name; look for every file of every folder. Exit code 1: damage."""
    from rich.console import Console

    from graft.hub import store as stores
    from tasks import audit as audits
    from tasks import remote as remotes
    from tasks import transfer
    from tasks.workspace import Workspace

    place, console = Workspace.find(), Console(soft_wrap=True)
    asked: dict[transfer.Where, bool] = {"cache": cache, "store": remote}
    where = [one for one, named in asked.items() if named or not any(asked.values())]
    needed = remote or (("store" in where or repair) and stores.from_environment() is not None)
    store = remotes.connect(place) if needed else None
    if not audits.show(audits.audit(place, store, console, where, every, repair), console):
        raise typer.Exit(1)
