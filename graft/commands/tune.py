"""The command that searches for better settings."""

import os
from typing import Annotated

import typer

from graft.commands import refuse
from graft.commands.options import On

app = typer.Typer()


@app.command()
def tune(
    trials: Annotated[int, typer.Option("--trials", min=0, help="Of each arm; 0: as search.yaml says.")] = 0,
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="both, transfer or scratch.", show_default=True)
    ] = "both",
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Trials at the same time.")] = 1,
    on: On = "local",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting in params.yaml first; may be repeated."),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--apply", help="At the end, take the best settings over into params.yaml.")
    ] = False,
) -> None:
    """Search for better settings, as search.yaml says; the same command goes on after a kill."""
    from rich.console import Console

    from graft.core import settings
    from tasks import tuning
    from tasks.choices import Choices
    from tasks.workspace import Workspace

    arms = tuning.arms_of(arm)
    console, workspace = Console(), Workspace.find()
    for change in settings.set_values(workspace.params, assignments or [], Choices.of):
        console.print(f"params.yaml: {change}", highlight=False, markup=False)
    tuning.Plan.of(workspace, trials)
    os.chdir(workspace.root)

    from flows import environment

    environment.prepare(workspace.root)
    environment.start_server(workspace.root)
    from flows import show, train
    from flows import tune as flow
    from tasks import tuned

    with show.Terminal(console) as terminal:
        show.use(terminal)
        wanted = "both" if len(arms) > 1 else arms[0]
        code, problem = train.ended(lambda: flow.tune(trials, wanted, workers, on, return_state=True))
    if code:
        refuse(problem, code)
    tuned.show(workspace, console)
    for change in tuned.apply(workspace) if take_over else ():
        console.print(f"params.yaml: {change}", highlight=False, markup=False)
