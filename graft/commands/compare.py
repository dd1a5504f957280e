"""Which source to take: compare them all."""

import os

import typer

from graft.commands import refuse

app = typer.Typer()


@app.command()
def compare() -> None:
    """Try every source of compare.yaml on the target; what was measured before is not measured again."""
    from rich.console import Console

    from graft.core import settings
    from tasks import compare as work
    from tasks.workspace import Workspace

    console, workspace = Console(), Workspace.find()
    os.chdir(workspace.root)
    work.plan(workspace, settings.load(workspace.params))

    from flows import environment

    environment.prepare(workspace.root)
    environment.start_server(workspace.root)
    from flows import compare as flow
    from flows import show
    from tasks import compare_page

    with show.Terminal(console) as terminal:
        show.use(terminal)
        code, problem = flow.start(workspace.root)
    if code:
        refuse(problem, code)
    compare_page.show(workspace, console)
