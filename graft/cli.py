"""`graft ...`: the command line. Whatever is heavy is imported inside the command that needs it."""

import typer

from graft.commands import compare, pipeline, platform, refuse, releases, remote, serve, tune
from graft.core import errors
from graft.core.errors import GraftError

OWN = ("graft", "tasks", "flows", "infra")

app = typer.Typer(
    help="Reuse a labelled data set from one domain to get a better model in another.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes 0.2 s to load
)
for group in (pipeline, tune, compare, releases, serve, remote, platform):
    app.add_typer(group.app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 gate refused or bad input, 2 usage, 3 environment unavailable."""
    try:
        app()
    except GraftError as error:
        refuse(errors.message(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN:
            raise
        refuse(f"{error.name} is missing: this command needs the pipeline; install the extras: graft[pipeline]", 3)
    except KeyboardInterrupt:
        refuse("stopped; type the same command again to go on", 130)


if __name__ == "__main__":
    main()
