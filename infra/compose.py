"""The secrets of infra/compose.yaml, made once at random: `python -m infra.compose` writes them into `.graft/compose`.

postgres.env  the password of the database
server.env    the database's address, the login, the key that encrypts what Prefect's blocks hold
worker.env    the login, and the key of the store
s3.json       the keys that the store knows
"""

import secrets
import sys
from pathlib import Path

from graft.core.errors import GraftError, message
from infra import policies, server, weed
from infra.files import make_private, write_private
from infra.store import BUCKET, EVERYTHING
from tasks.workspace import Workspace


def write(folder: Path) -> list[str]:
    """The files that were written: those that are there stay.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    make_private(folder)
    password, login = secrets.token_urlsafe(24), f"{server.USER}:{secrets.token_urlsafe(18)}"
    key, reader = weed.new_key(), weed.new_key()
    may = {"graft": EVERYTHING, "reader": policies.of_reader(BUCKET)}
    address = f"postgresql+asyncpg://graft:{password}@postgres:5432/prefect"
    files = {
        "postgres.env": {"POSTGRES_USER": "graft", "POSTGRES_DB": "prefect", "POSTGRES_PASSWORD": password},
        "server.env": {
            "PREFECT_SERVER_API_AUTH_STRING": login,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": address,
            "PREFECT_SERVER_ENCRYPTION_KEY": server.new_key(),
        },
        "worker.env": {
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            "PREFECT_API_AUTH_STRING": login,
        },
    }
    texts = {name: "".join(f"{one}={value}\n" for one, value in said.items()) for name, said in files.items()}
    texts["s3.json"] = weed.identities({"graft": key, "reader": reader}, may)
    if all((folder / name).exists() for name in texts):
        return []
    for name, text in texts.items():  # they belong together: half of them would not fit the others
        write_private(folder / name, text)
    return sorted(texts)


def main() -> None:
    """Write them into the workspace at hand."""
    try:
        folder = Workspace.find().private / "compose"
        written = write(folder)
    except GraftError as error:
        print(f"graft: {message(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{folder}: {', '.join(written)} written" if written else f"{folder} is there already, and stays")


if __name__ == "__main__":
    main()
