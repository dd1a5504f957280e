"""The keys of the workspace's own store: made once, at random, in a file that its owner alone reads."""

import configparser
import io
from pathlib import Path

from graft.core.errors import EnvironmentProblem
from graft.hub import local
from infra import weed
from infra.files import write_private

ROLES = (local.PROFILE, "reader")
_ID, _SECRET = "aws_access_key_id", "aws_secret_access_key"


def of(folder: Path) -> dict[str, weed.Key]:
    """The key of each of ROLES; made if there are none yet.

    Raises:
        EnvironmentProblem: the file is damaged.
    """
    path = local.credentials_file(folder)
    if not path.exists():
        write_private(path, _written({role: weed.new_key() for role in ROLES}))
    said = configparser.RawConfigParser()
    try:
        said.read_string(path.read_text(encoding="utf-8"))
        return {role: (said[role][_ID], said[role][_SECRET]) for role in ROLES}
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        raise EnvironmentProblem(
            f"{path} is damaged; move it away and type: graft up (the data stay, the keys are new)"
        ) from None


def _written(keys: dict[str, weed.Key]) -> str:
    made = configparser.RawConfigParser()
    made.read_dict({role: {_ID: key, _SECRET: secret} for role, (key, secret) in keys.items()})
    text = io.StringIO()
    made.write(text)
    return text.getvalue()
