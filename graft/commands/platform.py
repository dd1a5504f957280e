"""The commands that start, stop and show what the pipeline stands on."""

import shlex
from typing import Annotated

import typer

app = typer.Typer()
Names = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Only these.", show_default=False)]


@app.command()
def up(names: Names = None) -> None:
    """Start store, Prefect server and worker, and register what may be started from Prefect's pages."""
    from infra import services
    from tasks.workspace import Workspace

    for service in services.of(Workspace.find().root, names):
        for line in service.start():
            print(f"{service.name}: {line}", flush=True)
    print('Commands run here find it. For other programs and folders: eval "$(graft status --env)"')


@app.command()
def down(names: Names = None) -> None:
    """Stop what `graft up` started; data, history and keys stay."""
    from infra import services
    from tasks.workspace import Workspace

    for service in reversed(services.of(Workspace.find().root, names)):
        for line in service.stop():
            print(f"{service.name}: {line}", flush=True)


@app.command()
def status(
    names: Names = None,
    env: Annotated[
        bool, typer.Option("--env", help='Print the environment for other programs: eval "$(graft status --env)".')
    ] = False,
) -> None:
    """Show what is up and where. Exit code 3: something is down."""
    from infra import services
    from tasks.workspace import Workspace

    found = services.of(Workspace.find().root, names)
    if env:
        for service in found:
            for name, value in service.environment().items():
                print(f"export {name}={shlex.quote(value)}")
        return
    states = [service.state() for service in found]
    for service, state in zip(found, states, strict=True):
        for name, fact in state.facts.items():
            print(f"{service.name}: {name:10}{fact}")
    if not all(state.is_up for state in states):
        raise typer.Exit(3)
