"""How a training uses the hardware: one device, several, or several processes; in how many parts; in which precision.

Batches are drawn and varied whole, by the number of their step, wherever they are learned; each replica then learns its
rows of them and gradients are summed (synchronous data parallelism, `tf.distribute`). So the loss curve is that of one
device with the same batch, but for the order in which numbers are added.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from graft.core.errors import BadInput, one_line
from graft.core.sections import Train

VARIABLE = "TF_CONFIG"
"""Environment variable: the processes that train together, and which of them this one is, as TensorFlow defines it."""
HEAD, CHUNK = 2048, 4_000_000  # numbers of 16 bits that travel at once
Name = Literal["single", "mirrored", "multi_worker"]


class Seat(NamedTuple):
    """This process among those that train together."""

    addresses: tuple[str, ...]
    chief: bool


@dataclass(frozen=True)
class Way:
    """How the batches of a training are learned.

    Attributes:
        strategy: of `tf.distribute`, whose replicas learn a part of each batch side by side; None is one device.
        accumulate: parts that each replica's part is learned in, one after the other, for want of memory.
        precision: that of the layers' arithmetic; weights are float32 whatever it is.
        several: whether other processes train along.
        chief: whether this process is the one that writes what comes of it.
    """

    strategy: Any = None
    accumulate: int = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    several: bool = False
    chief: bool = True

    @property
    def replicas(self) -> int:
        """Devices that learn side by side, those of all processes together."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy else 1

    @property
    def parts(self) -> int:
        """How many parts a batch is cut into."""
        return self.replicas * self.accumulate

    def run(self, work: Callable[..., Any], tensors: tuple[Any, ...]) -> Any:
        """`work(*tensors)` on every replica; what the first one here answers."""
        if self.strategy is None:
            return work(*tensors)
        import tensorflow as tf

        answers = self.strategy.run(work, args=tensors)
        return tf.nest.map_structure(lambda one: self.strategy.experimental_local_results(one)[0], answers)

    def mine(self, whole: tuple[Any, ...], number: Any) -> tuple[Any, ...]:
        """Inside a replica: its rows of part `number` (from 0 to `accumulate` - 1) of a batch."""
        import tensorflow as tf

        if self.parts == 1:
            return whole
        place = number * self.replicas + (_replica() if self.strategy else 0)
        size = tf.shape(whole[0])[0] // self.parts
        return tuple(one[place * size : (place + 1) * size] for one in whole)

    def mean(self, values: Any) -> Any:
        """Inside a replica: the mean of each tensor of a structure over all replicas."""
        import tensorflow as tf

        if self.replicas == 1:
            return values
        sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.nest.flatten(values))
        return tf.nest.pack_sequence_as(values, [one / self.replicas for one in sums])

    def summed(self, optimizer: Any) -> Any:
        """A Keras `optimizer` that takes gradients for what all replicas found together: it would add them up again."""
        if self.replicas > 1:
            optimizer._all_reduce_sum_gradients = lambda pairs: pairs
        return optimizer

    def agreed(self, told: bytes) -> bytes:
        """What the chief says, in every process; all of them have to ask."""
        if not self.several:
            return told
        told = told if self.chief else b""
        head = np.frombuffer((len(told).to_bytes(8, "little") + told[: 2 * HEAD - 8]).ljust(2 * HEAD, b"\0"), np.uint16)
        said = self._from_chief(head).tobytes()
        n_bytes, first = int.from_bytes(said[:8], "little"), said[8:]
        rest = np.zeros(-(-max(0, n_bytes - len(first)) // (2 * CHUNK)) * CHUNK, np.uint16)
        rest.view(np.uint8)[: max(0, len(told) - len(first))] = np.frombuffer(told[len(first) :], np.uint8)
        chunks = [self._from_chief(one).tobytes() for one in rest.reshape(-1, CHUNK)]
        return b"".join([first, *chunks])[:n_bytes]

    def agreed_on(self, told: Any) -> Any:
        """The same for what JSON can hold."""
        return json.loads(self.agreed(json.dumps(told).encode())) if self.several else told

    def _from_chief(self, numbers: Any) -> Any:
        """As float32, which holds 16 bits exactly and which every kind of device can add."""
        import tensorflow as tf

        return self._saying(tf.constant(numbers, tf.float32)).numpy().astype(np.uint16)

    @cached_property
    def _saying(self) -> Any:
        """Traced once for each of two sizes."""
        import tensorflow as tf

        def say(mine: Any) -> Any:
            counts = tf.cast(_replica() == 0, tf.float32)
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, counts * mine)

        return tf.function(lambda mine: self.run(say, (mine,)))


_IN_USE: ContextVar[Way] = ContextVar("way", default=Way())  # noqa: B039  frozen


def in_use() -> Way:
    """The way of the block that `use` opened; one device in float32 outside of any."""
    return _IN_USE.get()


@contextmanager
def use(way: Way) -> Iterator[None]:
    """Inside, nets are built for this way and trained in it. What was built elsewhere does not belong here."""
    import keras

    before, token = keras.config.dtype_policy(), _IN_USE.set(way)
    try:
        if way.precision != "float32":
            keras.config.set_dtype_policy(f"mixed_{way.precision}")
        with way.strategy.scope() if way.strategy else nullcontext():
            yield
    finally:
        keras.config.set_dtype_policy(before)
        _IN_USE.reset(token)


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


def precision_of(train: Train) -> Literal["float32", "bfloat16", "float16"]:
    """What was asked for; with auto, what the weakest graphics card here computes faster; float32 without one."""
    if train.precision != "auto":
        return train.precision
    import tensorflow as tf

    cards = [tf.config.experimental.get_device_details(one) for one in tf.config.list_physical_devices("GPU")]
    return gains(min((tuple(card.get("compute_capability") or (0, 0)) for card in cards), default=(0, 0)))


def gains(capability: tuple[int, ...]) -> Literal["float32", "bfloat16", "float16"]:
    """What NVIDIA cards of a compute capability have tensor cores for: Ampere's for bfloat16, Volta's for float16."""
    if capability >= (8, 0):
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"


def plain(model: Any, way: Way) -> Any:
    """`model` as one device in float32 has it: the same weights; the very same object if it was learned that way.

    Call it outside of `use`.
    """
    if way.strategy is None and way.precision == "float32":
        return model
    import keras

    def again(layer: Any) -> Any:
        config = layer.get_config() | {"dtype": "float32"}
        return type(layer).from_config(config | ({"synchronized": False} if "synchronized" in config else {}))

    made = keras.models.clone_model(model, clone_function=again, recursive=True)
    made.set_weights(model.get_weights())
    return made


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


def _replica() -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)
