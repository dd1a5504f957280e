"""The commands for releases: publish one, move it through its stages, look at it, pull it and ask it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.commands import terminal
from graft.core.errors import BadInput, GraftError, UsageError

if TYPE_CHECKING:
    from graft.hub.bucket import Bucket
    from graft.hub.stages import Moved

app = typer.Typer()
keys = typer.Typer(help="Key pairs for signed releases.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Wanted = Annotated[str, typer.Argument(metavar="NAME@VERSION|STAGE", help="Like plants@v3 or plants@prod.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the model.")]
Stage = Annotated[str, typer.Option("--stage", help="Which stage; the last one if left out.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept in the history.")]


@app.command()
def publish(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Of the model; data.target.name if left out.")] = "",
    version: Annotated[str | None, typer.Option("--version", help="Which one it has to be, as v3.")] = None,
) -> None:
    """Publish what the pipeline made as the next version; it becomes the candidate."""
    from tasks import publish as task
    from tasks import stage

    with terminal.bar("publishing") as progress:
        done = task.publish(stage.here(), name, version, progress, terminal.note)
    held = done.held.receipt
    total = sum(file.bytes_ for file in held.contents.files.values())
    print(f"{held.name}@{held.version} is published: {len(held.contents.files)} files, {total / 1e6:.1f} MB")
    _tell(done.moved)


@app.command()
def promote(wanted: Wanted, stage: Annotated[str, typer.Argument(help="Where to.")], reason: Reason = "") -> None:
    """Move a stage to a release, if it stood at the stage before and the gate lets it pass."""
    from graft.hub import names, stages

    with _bucket() as bucket, terminal.bar("checking") as progress:
        moved = stages.promote(bucket, names.reference(wanted), names.stage(stage), reason, progress)
    _tell(moved)


@app.command()
def rollback(
    name: Name,
    stage: Stage = "",
    to: Annotated[str, typer.Option("--to", help="A version that stood there; the one before if left out.")] = "",
    reason: Reason = "",
) -> None:
    """Move a stage back to what stood there before."""
    from graft.hub import names, stages

    names.model(name)
    for check, value in ((names.stage, stage), (names.version, to)):
        check(value) if value else None
    with _bucket() as bucket, terminal.bar("checking") as progress:
        stages.rollback(bucket, name, stage, to, reason, progress, _tell)


@app.command()
def history(name: Name, stage: Stage = "") -> None:
    """Every move of a stage: what, when, by whom, why."""
    from graft.commands import show
    from graft.hub import names, pointer, stages

    with _bucket() as bucket:
        at = names.stage(stage) if stage else stages.last_stage(bucket, names.model(name))
        show.history(pointer.history(bucket, names.model(name), at), f"{name}@{at}")


@app.command()
def live(
    name: Name,
    on: Annotated[str, typer.Option("--on", metavar="DATE", help="2026-11-01, or with a time: 2026-11-01T12:00.")] = "",
    stage: Stage = "",
) -> None:
    """What stood at the last stage at a time; of a date, at its end. Times are UTC unless they say otherwise."""
    from graft.commands import show
    from graft.hub import names, pointer, stages

    with _bucket() as bucket:
        at = names.stage(stage) if stage else stages.last_stage(bucket, names.model(name))
        moves = pointer.history(bucket, names.model(name), at)
    when, day = show.moment(on)
    show.live(stages.live(moves, when), [one for one in moves if day and day <= one.at <= when], f"{name}@{at}", when)


@app.command()
def models() -> None:
    """Every model with its newest version and what stands at its stages."""
    from graft.commands import show

    with _bucket() as bucket:
        show.models(bucket)


@app.command("show")
def show_release(wanted: Wanted) -> None:
    """A release: who, when, from what, how good, which files."""
    from graft.commands import show
    from graft.hub import names, releases

    with _bucket() as bucket:
        show.release(releases.find(bucket, names.reference(wanted)))


@app.command()
def diff(old: Wanted, new: Wanted) -> None:
    """What differs between two releases: settings, data, results, files."""
    from graft.commands import show
    from graft.hub import names, releases

    references = [names.reference(wanted) for wanted in (old, new)]
    with _bucket() as bucket:
        one, other = (releases.find(bucket, wanted).receipt for wanted in references)
    show.diff(one, other)


@app.command()
def pull(
    wanted: Annotated[str, typer.Argument(metavar="[NAME@VERSION|STAGE]", help="Like plants@v3 or plants@prod.")] = "",
    to: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Also put its files there.")] = None,
    data: Annotated[bool, typer.Option("--data", help="Data sets and models of this workspace, by DVC.")] = False,
) -> None:
    """Bring a release to this machine, every byte checked; afterwards it works offline."""
    if data == bool(wanted) or data and to:
        raise UsageError("pull a release (graft pull plants@prod) or this workspace's data (graft pull --data)")
    if data:
        from graft.commands import remote

        remote.pull()
        return
    from graft.hub import cache, names

    with terminal.bar("pulling") as progress:
        pulled = cache.pull(names.reference(wanted), progress)
    terminal.warn(pulled.warning)
    folder = cache.copy(pulled, to) if to else pulled.folder
    print(f"{pulled.receipt.name}@{pulled.receipt.version} is in {folder}")


@app.command()
def predict(
    wanted: Annotated[
        str, typer.Argument(metavar="NAME@VERSION|STAGE|DIR", help="A release, or a folder that pull -o made.")
    ],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="JPEG or PNG files.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many labels of each picture.")] = 3,
    at_least: Annotated[
        float, typer.Option("--at-least", min=0, max=1, help="Say `unsure` where the best label is less probable.")
    ] = 0.0,
    file: Annotated[str, typer.Option("--file", help="Which of the release's files runs.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object per picture and line.")] = False,
) -> None:
    """Ask a release what pictures show."""
    from graft import edge
    from graft.commands import show

    with terminal.bar("pulling") as progress:
        release = edge.find(wanted, progress)
    terminal.warn(release.warning)
    with terminal.silent():
        model = edge.Model(release, file)
    worst: GraftError | None = None
    for picture in pictures:
        try:
            show.answer(str(picture), model.predict(picture).top(top)[0], at_least, as_json)
        except BadInput as error:
            worst = error
            terminal.warn(str(error))
    if worst:
        raise typer.Exit(worst.exit_code)


@keys.command("new")
def new_keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the two files go.")] = Path("keys"),
) -> None:
    """Make a key pair: the private half signs what is published, the public half checks what is pulled."""
    from graft.hub import signing

    private, public = signing.new_keys(folder)
    print(f"private key: {private}  (keep it out of git; export {signing.PRIVATE}={private} signs what you publish)")
    print(f"public key:  {public}  (export {signing.PUBLIC}={public} refuses what it did not sign)")


@contextmanager
def _bucket() -> Iterator["Bucket"]:
    from graft.hub import store
    from graft.hub.bucket import Bucket

    with closing(Bucket(store.known())) as bucket:
        yield bucket


def _tell(moved: "Moved") -> None:
    move = moved.move
    before = f", before it {move.previous.version}" if move.previous else ""
    done = "now stands at" if moved.done else "already stands at"
    print(f"{move.model}@{move.version} {done} {move.stage} (move {move.serial}{before})", flush=True)
