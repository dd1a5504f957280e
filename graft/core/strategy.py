"""Which way a training takes on the hardware at hand: one device, several, or several processes; in which precision."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from graft.core.errors import BadInput, one_line
from graft.core.parallel import Precision, Way
from graft.core.sections import Train

VARIABLE = "TF_CONFIG"
"""Environment variable: the processes that train together, and which of them this one is, as TensorFlow defines it."""
Name = Literal["single", "mirrored", "multi_worker"]


class Seat(NamedTuple):
    """This process among those that train together."""

    addresses: tuple[str, ...]
    chief: bool


def leave() -> None:
    """At the end of all trainings, in each process that trained along: none is gone while another waits for it."""
    seat = seat_of(os.environ)
    if seat is None or not _distributed.cache_info().currsize:
        return
    import tensorflow as tf

    way = Way(_distributed("multi_worker"), several=True, chief=seat.chief)
    way.agreed(b"")
    if not seat.chief:
        with suppress(tf.errors.OpError):
            way.agreed(b"")  # which the chief never answers: it ends once the chief is gone


def way_of(train: Train, by_rows: bool, batch_size: int, together: bool = False) -> Way:
    """What `train` comes to in this process, on its hardware; TensorFlow is loaded if it is not yet.

    Args:
        by_rows: whether the loss is a mean over the pictures of a batch; else auto is one device in float32.
        together: whether this is one of several processes that train together; else it is alone, whatever is asked for.

    Raises:
        BadInput: TF_CONFIG is not as TensorFlow defines it, or batches of this size cannot be cut evenly.
    """
    seat, name = seat_of(os.environ), chosen(train, by_rows, os.environ, n_gpus)
    several = together and name == "multi_worker"
    distributed = _distributed(name) if several or name == "mirrored" else None
    precision = precision_of(train) if by_rows else "float32"
    way = Way(distributed, train.accumulate, precision, several, seat.chief if several and seat else True)
    if batch_size % way.parts:
        raise BadInput(
            f"pretrain.batch_size is {batch_size} and each batch is cut into {way.parts} parts ({way.replicas} "
            f"devices, train.accumulate {way.accumulate}); a multiple of {way.parts} would do"
        )
    return way


def chosen(train: Train, by_rows: bool, environment: Mapping[str, str], gpus: Callable[[], int] = lambda: 0) -> Name:
    """The strategy by name: what was asked for; with auto, what the hardware and TF_CONFIG offer.

    Raises:
        BadInput: as `way_of` does.
    """
    if train.strategy != "auto":
        return train.strategy
    seat = seat_of(environment) if by_rows else None
    if seat and len(seat.addresses) > 1:
        return "multi_worker"
    return "mirrored" if by_rows and gpus() > 1 else "single"


def seat_of(environment: Mapping[str, str]) -> Seat | None:
    """What TF_CONFIG says of this process; None if it says nothing.

    Raises:
        BadInput: it is no JSON of TensorFlow's form, or gives this process a role that does not train.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        told = json.loads(text)
        cluster, role, index = told.get("cluster", {}), told["task"]["type"], int(told["task"]["index"])
        workers = [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, ())))]
        addresses = tuple(str(cluster[kind][number]) for kind, number in workers)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(
            f'{VARIABLE} is {one_line(text, 80)!r}; it should be {{"cluster": {{"worker": ["host:port", ...]}}, '
            '"task": {"type": "worker", "index": 0}}'
        ) from None
    if (role, index) not in workers:
        raise BadInput(
            f"{VARIABLE} makes this process {one_line(str(role), 40)} {index}, which its cluster has not as one that "
            "trains; workers and one chief do"
        )
    return Seat(addresses, (role, index) == workers[0])


def n_gpus() -> int:
    """Graphics cards that TensorFlow may use."""
    import tensorflow as tf

    return len(tf.config.list_logical_devices("GPU"))


def precision_of(train: Train) -> Precision:
    """What was asked for; with auto, what the weakest graphics card here computes faster; float32 without one."""
    if train.precision != "auto":
        return train.precision
    import tensorflow as tf

    cards = [tf.config.experimental.get_device_details(one) for one in tf.config.list_physical_devices("GPU")]
    return gains(min((tuple(card.get("compute_capability") or (0, 0)) for card in cards), default=(0, 0)))


def gains(capability: tuple[int, ...]) -> Precision:
    """What NVIDIA cards of a compute capability have tensor cores for: Ampere's for bfloat16, Volta's for float16."""
    if capability >= (8, 0):
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"


@lru_cache(maxsize=1)
def _distributed(name: Name) -> Any:
    """Once a process: TensorFlow connects processes at their start or not at all."""
    import tensorflow as tf

    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if name == "mirrored" and len(devices) > 1:
        return tf.distribute.MirroredStrategy([one.name for one in devices])
    return None
