"""Looks at a bucket with nothing but json and hashlib, and says what is wrong with the releases of a model in it."""

import hashlib
import json
import re
from typing import Any

from graft.hub.bucket import Bucket

Objects = dict[str, bytes]


def everything(bucket: Bucket, model: str) -> Objects:
    """Every object of the model by its key, in one order: pointers first, so that what they name is there later."""
    keys = [key for part in ("stages", "history", "models") for key in bucket.keys(f"{part}/{model}/")]
    return {key: bucket.read(key, 10**8).data for key in keys}


def complaints(objects: Objects, model: str) -> list[str]:
    """What no kill may bring about: a pointer to less than a whole release, a gap in the history."""
    found = []
    for key, pointer in _documents(objects, f"stages/{model}/"):
        stage, folder = key.split("/")[2].removesuffix(".json"), f"models/{model}/{pointer['version']}/"
        receipt = objects.get(f"{folder}receipt.json", b"")
        if _sha256(receipt) != pointer["receipt"]:
            found.append(f"{key} names a receipt that is not there")
            continue
        for name, file in json.loads(receipt)["contents"]["files"].items():
            if _sha256(objects.get(folder + name, b"")) != file["sha256"]:
                found.append(f"{key} names {folder}{name}, which is missing or altered")
        serials = [entry["serial"] for _, entry in _documents(objects, f"history/{model}/{stage}/")]
        last = pointer["serial"]
        if serials not in (list(range(1, last + 1)), list(range(1, last))):
            found.append(f"{key} is move {last} and the history has {serials}")
    return found


def lost(before: Objects, after: Objects) -> list[str]:
    """Keys of what was there and is not any more; only pointers may change."""
    return [key for key, data in before.items() if not key.startswith("stages/") and after.get(key) != data]


def trace(objects: Objects, model: str) -> Any:
    """What does not depend on when, by whom and under which model's name it was done."""
    keys = sorted(re.sub("receipt-[0-9a-f]+", "receipt-HASH", key).replace(f"/{model}/", "/") for key in objects)
    pointers = {key.split("/")[2]: _move(one) for key, one in _documents(objects, f"stages/{model}/")}
    history = {key.split("/", 2)[2]: _move(one) for key, one in _documents(objects, f"history/{model}/")}
    receipts = {
        key.split("/")[2]: (one["contents"]["files"], one["replaces"] and one["replaces"]["version"])
        for key, one in _documents(objects, f"models/{model}/")
        if key.endswith("/receipt.json")
    }
    return keys, pointers, history, receipts


def _documents(objects: Objects, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (key, json.loads(data)) for key, data in objects.items() if key.startswith(prefix) and key.endswith(".json")
    ]


def _move(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["serial"], one["kind"], one["version"], one["previous"] and one["previous"]["version"]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
