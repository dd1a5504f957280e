"""What each training answered, small enough for git: gains can be taken on another machine from what was done here."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS
from tasks.adapters import files

FILE = RESULTS / "transfer.answers.json"
CHOSEN, ANSWERS = ".chosen.json", ".answers.json"


def keep(folder: Path) -> None:
    """Add what `folder` has to what the file has."""
    held = files.read_json(FILE) if FILE.exists() else {"chosen": {}, "answers": {}}
    for path in folder.glob(f"*{CHOSEN}"):
        held["chosen"][path.name.removesuffix(CHOSEN)] = files.read_json(path)
    for path in folder.glob(f"*{ANSWERS}"):
        said = files.read_json(path)
        hits = {name: _packed(one) for name, one in said["hits"].items()}
        held["answers"][path.name.removesuffix(ANSWERS)] = said | {"hits": hits}
    files.write_json(FILE, {kind: dict(sorted(held[kind].items())) for kind in held})


def restore(folder: Path) -> None:
    """Put into `folder` what the file has and it has not."""
    if not FILE.exists():
        return
    held = files.read_json(FILE)
    for name, said in held["chosen"].items():
        _write(folder / f"{name}{CHOSEN}", said)
    for name, said in held["answers"].items():
        hits = {group: _unpacked(one) for group, one in said["hits"].items()}
        _write(folder / f"{name}{ANSWERS}", said | {"hits": hits})


def _write(path: Path, said: Any) -> None:
    if not path.exists():
        files.write_json(path, said)


def _packed(hits: list[int]) -> dict[str, Any]:
    bits = np.packbits(np.array(hits, dtype=np.uint8)).tobytes()
    return {"rows": len(hits), "bits": base64.b64encode(bits).decode()}


def _unpacked(said: dict[str, Any]) -> list[int]:
    bits = np.frombuffer(base64.b64decode(said["bits"]), dtype=np.uint8)
    return [int(bit) for bit in np.unpackbits(bits, count=said["rows"])]
