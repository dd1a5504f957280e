"""`graft ...`, a file per group of commands. Whatever is heavy is imported inside the command that needs it."""

import sys
from typing import NoReturn


def refuse(message: str, code: int) -> NoReturn:
    """Say why on standard error and leave with the exit code."""
    print("\n".join(f"graft: {line}" for line in message.split("\n")), file=sys.stderr)
    sys.exit(code)
