"""The commands that start, stop and show what the pipeline stands on."""

import shlex
from functools import partial
from typing import Annotated

import typer

from graft.commands import refuse
from graft.commands.options import On
from graft.core import errors

app = typer.Typer()
Names = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Only these.", show_default=False)]


@app.command()
def up(names: Names = None) -> None:
    """Start store, Prefect server and worker, and register what may be started from Prefect's pages."""
    from infra import logs, services
    from tasks.workspace import Workspace

    root = Workspace.find().root
    for service in services.of(root, names):
        for line in service.start():
            print(f"{service.name}: {line}", flush=True)
    logs.cut(root)
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
    from infra import logs, services
    from tasks.workspace import Workspace

    root = Workspace.find().root
    found = services.of(root, names)
    if env:
        for service in found:
            for name, value in service.environment().items():
                print(f"export {name}={shlex.quote(value)}")
        return
    logs.cut(root)
    states = [service.state() for service in found]
    for service, state in zip(found, states, strict=True):
        for name, fact in state.facts.items():
            print(f"{service.name}: {name:10}{fact}")
    if not all(state.is_up for state in states):
        raise typer.Exit(3)


@app.command()
def start(
    deployment: Annotated[
        str, typer.Argument(help="train, retrain, tune, compare, forecast, promote, rollback.", show_default=False)
    ],
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Fields of its form.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end, a line for each state.")] = False,
    key: Annotated[
        str, typer.Option("--key", help="However often one key is given, there is one run.", show_default=False)
    ] = "",
) -> None:
    """Start a run, as the form on Prefect's pages does. With --wait, exit code 3: it crashed; 1: it was refused."""
    from infra import start as starting
    from infra.server import Server
    from tasks.workspace import Workspace

    server = Server(Workspace.find().root)
    run = starting.start(server, deployment, assignments or [], key)
    print(f"run {run['name']}  {starting.page(server, run)}", flush=True)
    if wait:
        ended = starting.follow(server, run, lambda line: print(line, flush=True))
        if problem := starting.problem(ended):
            refuse(errors.message(problem), problem.exit_code)


@app.command()
def retrain(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]...", help="Of compare.yaml; all unless named.")
    ] = None,
    at_end: Annotated[
        str, typer.Option("--at-end", metavar="WHAT", help="ask, promote if better, or never.")
    ] = "promote if better",
    on: On = "local",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the runs to their ends.")] = False,
) -> None:
    """Start a retraining for each target of compare.yaml, for Prefect's workers to take.

    With --wait, exit code 3: one crashed; 1: one was refused.
    """
    from graft.core import matrix
    from infra import start as starting
    from infra.server import Server
    from tasks.workspace import Workspace

    place = Workspace.find()
    wanted = matrix.load(place.matrix).retrained(targets or [])
    server = Server(place.root)
    runs = {}
    for name, fields in wanted.items():
        given = {**fields, "at_end": at_end, "on": on}
        runs[name] = starting.start(server, "retrain", [f"{key}={value}" for key, value in given.items()])
        print(f"{name}: run {runs[name]['name']}  {starting.page(server, runs[name])}", flush=True)
    ended = [starting.follow(server, run, partial(_say, name)) for name, run in runs.items()] if wait else []
    problems = [found for run in ended if (found := starting.problem(run))]
    if problems:
        worst = max(problems, key=lambda one: one.exit_code)
        refuse(errors.message(worst), worst.exit_code)


def _say(name: str, line: str) -> None:
    print(f"{name}: {line}", flush=True)
