"""What the workers of `test_pool` do: in a module of its own, so that they start quickly."""

import os
import signal
import time
from pathlib import Path
from typing import Any

DEADLY = -1
KILLER = b"a picture that kills its decoder"


def doubled(context: Any, items: list[int]) -> list[int]:
    """Twice each item; some items are the death of the process."""
    for item in items:
        if item == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == context:
            raise ValueError(f"{item} will not do")
    return [2 * item for item in items]


def greedy(context: Any, items: list[int]) -> list[str]:
    """What became of a wish for so many bytes."""
    told = []
    for item in items:
        try:
            told.append(str(len(bytearray(item))))
        except MemoryError:
            told.append("refused")
    return told


def deep(context: Any, items: list[int]) -> list[int]:
    """Runs out of the C stack where an item asks for it, as a recursive decoder would."""
    import ctypes

    for item in items:
        if item == DEADLY:
            ctypes.string_at(0)
    return items


def patient(folder: Path, items: list[int]) -> list[int]:
    """Says who works on it, and waits a little the first time."""
    mark = folder / f"{items[0]}.pid"
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(1)
    return items


class Poisonous:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


def measured(data: bytes) -> Any:
    """A picture's measures; one picture is the death of the process."""
    from graft.modalities import image

    _die_of(data)
    return image.measure(data)


def decoded(data: bytes, options: Any) -> Any:
    """A decoded picture, likewise."""
    from graft.modalities import image

    _die_of(data)
    return image.decode(data, options)


def _die_of(data: bytes) -> None:
    if data == KILLER:
        os.kill(os.getpid(), signal.SIGKILL)
