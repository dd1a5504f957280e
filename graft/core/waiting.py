"""For how long a person who is asked about a release is waited for: flows ask, the platform ends the waiting."""

import os

from graft.core.errors import BadInput, one_line

WITHIN_S = "GRAFT_ANSWER_WITHIN_S"
DEFAULT_S = 3 * 24 * 3600
MOST_S = 365 * 24 * 3600


def within_s() -> int:
    """Seconds after which no answer means no.

    Raises:
        BadInput: the environment says something else than such a number.
    """
    said = os.environ.get(WITHIN_S) or str(DEFAULT_S)
    if not (said.isascii() and said.isdigit() and 1 <= int(said[:12]) <= MOST_S):
        raise BadInput(f"{WITHIN_S} is '{one_line(said, 40)}'; give seconds, from 1 to {MOST_S}")
    return int(said)
