"""Options that several commands share."""

from typing import Annotated, Literal

import typer

Engine = Literal["local", "dask", "ray"]
On = Annotated[
    Engine,
    typer.Option("--on", help="Who does the work: processes of this machine, or workers of a Dask or a Ray cluster."),
]
