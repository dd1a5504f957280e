"""The commands that run the pipeline and look at it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from graft.commands import refuse
from graft.commands.options import On
from graft.core.errors import BadInput, UsageError

STAGES = ("ingest", "validate", "extract", "pretrain", "finetune", "evaluate", "curve", "export")

app = typer.Typer()
data = typer.Typer(help="Look at the data as the gate saw them.", no_args_is_help=True)
app.add_typer(data, name="data")
inbox = typer.Typer(help="Pictures that came later, in the store, for the next retraining.", no_args_is_help=True)
app.add_typer(inbox, name="inbox")


def _stage(value: str | None) -> str | None:
    if value is not None and value not in STAGES:
        raise typer.BadParameter(f"{value!r} is no stage; stages: {', '.join(STAGES)}")
    return value


@app.command()
def run(
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting in params.yaml first; may be repeated."),
    ] = None,
    from_stage: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", callback=_stage, help="Run this stage again and what follows."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="STAGE", callback=_stage, help="Stop after this stage.")
    ] = None,
    on: On = "local",
) -> None:
    """Bring the pipeline up to date and show what reuse gained."""
    from rich.console import Console

    from graft.core import settings
    from tasks import choices
    from tasks.workspace import Workspace

    if from_stage and until and STAGES.index(until) < STAGES.index(from_stage):
        raise UsageError(f"--until {until} comes before --from {from_stage}")
    console = Console()
    workspace = Workspace.find()
    for change in settings.set_values(workspace.params, assignments or [], choices.Choices.of):
        console.print(f"params.yaml: {change}", highlight=False, markup=False)
    choices.Choices.of(settings.load(workspace.params))
    os.chdir(workspace.root)

    from flows import environment

    environment.prepare(workspace.root)
    environment.start_server(workspace.root)
    from flows import show, train
    from tasks import report

    with show.Terminal(console) as terminal:
        show.use(terminal)
        code, problem = train.start(workspace.root, from_stage, until, on)
    if code:
        refuse(problem, code)
    if until in (None, "export"):
        report.show(workspace, console)


@app.command()
def report(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="RUN_A RUN_B",
            help="Show two runs side by side: releases (plants@v3), git revisions, folders with a finished workspace.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Where the page goes.")] = None,
) -> None:
    """Write the report again, or a page that compares two runs, and say where it is."""
    from tasks import stage

    if compare is None:
        from tasks import report as page

        print(f"report: {page.write(stage.here(), to)}")
        return
    from tasks import side_by_side

    try:
        here = stage.here()
    except BadInput:
        here = None  # releases and folders can be compared anywhere
    path = (to or (here.comparison if here else Path("side-by-side.html"))).absolute()
    old, new = (side_by_side.find(named, here, lambda done, total: None) for named in compare)
    side_by_side.write(old, new, path)
    print(f"report: {path}")


@data.command("show")
def show_data(
    role: Annotated[str, typer.Argument(metavar="source|target", help="Which domain.")],
    rule: Annotated[str | None, typer.Option("--rule", help="Only what broke this rule.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many rows at the most.")] = 50,
) -> None:
    """List what the data gate found in a domain, the worst first."""
    from rich.console import Console

    from tasks import stage
    from tasks.gate import listing

    listing.show(stage.here(), role, rule, most, Console())


@inbox.command("add")
def add_to_inbox(
    folder: Annotated[Path, typer.Argument(help="A folder with one folder of pictures per class.")],
    source: Annotated[bool, typer.Option("--source", help="For the source; the target unless given.")] = False,
    new: Annotated[bool, typer.Option("--new-classes", help="Take classes that the data at hand lack.")] = False,
) -> None:
    """Send labelled pictures to the store; each is there once, however often it is sent."""
    from rich.console import Console

    from graft.core import settings
    from tasks import inbox as inboxes
    from tasks import stage
    from tasks.choices import Choices

    place = stage.here()
    said = settings.load(place.params)
    role, domain = ("source", said.data.source) if source else ("target", said.data.target)
    inboxes.add(place, Choices.of(said), role, domain, folder, new, Console(soft_wrap=True))


@inbox.command("list")
def list_inbox(
    source: Annotated[bool, typer.Option("--source", help="For the source; the target unless given.")] = False,
) -> None:
    """How many pictures of each class lie there."""
    from graft.commands import show
    from graft.core import settings
    from tasks import inbox as inboxes
    from tasks import stage

    data = settings.load(stage.here().params).data
    show.inbox(inboxes.held(data.source if source else data.target))


@app.command()
def doctor() -> None:
    """Look at versions, pins, registries, disk and store: what is wrong, and what to do."""
    from rich.console import Console

    from tasks import doctor as checks

    console = Console()
    findings = checks.examine()
    checks.show(findings, console)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(3)
