"""Which source to take: compare them, or foretell what they would gain."""

import os
from typing import Annotated, Any

import typer

from graft.commands import refuse
from graft.commands.options import Engine, On

app = typer.Typer()

Sources = Annotated[
    list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Sources of compare.yaml; all unless named.")
]
Targets = Annotated[
    list[str] | None, typer.Option("--target", metavar="NAME", help="A target of compare.yaml; may be repeated.")
]


def _number(value: list[str] | None) -> list[str] | None:
    for one in value or []:
        if one != "all" and not (one.isascii() and one.isdigit() and int(one) > 0):
            raise typer.BadParameter(f"{one!r} is no number of labels; 1 or more would do, or all")
    return value


Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", metavar="N", callback=_number, help="Labels per class, or all; may be repeated."),
]


@app.command()
def compare(sources: Sources = None, target: Targets = None, labels: Labels = None, on: On = "local") -> None:
    """Try every source of compare.yaml on the target; what was measured before is not measured again."""
    _run("compare", sources, target, labels, on)


@app.command()
def forecast(sources: Sources = None, target: Targets = None, labels: Labels = None) -> None:
    """Foretell what each source would gain, from its features and what was measured before; nothing is fine-tuned."""
    _run("forecast", sources, target, labels)


def _run(
    name: str, sources: list[str] | None, targets: list[str] | None, labels: list[str] | None, on: Engine = "local"
) -> None:
    from rich.console import Console

    from graft.core import settings
    from tasks import compare as work
    from tasks.workspace import Workspace

    console, workspace = Console(), Workspace.find()
    os.chdir(workspace.root)
    numbers: tuple[Any, ...] = tuple(one if one == "all" else int(one) for one in labels or ())
    narrowed = work.Narrowed(tuple(sources or ()), tuple(targets or ()), numbers)
    work.plan(workspace, settings.load(workspace.params), narrowed)

    from flows import environment

    environment.prepare(workspace.root)
    environment.start_server(workspace.root)
    from flows import compare as flows
    from flows import show
    from tasks import compare_page
    from tasks import forecast as foretelling

    with show.Terminal(console) as terminal:
        show.use(terminal)
        code, problem = flows.start(name, narrowed, on)
    if code:
        refuse(problem, code)
    (foretelling if name == "forecast" else compare_page).show(workspace, console)
