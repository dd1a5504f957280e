"""A batch learned in parts: by several devices side by side, by several processes, one part after the other.

Batches are drawn and varied whole, by the number of their step, wherever they are learned; each replica then learns its
rows of them and gradients are summed (synchronous data parallelism, `tf.distribute`). So the loss curve is that of one
device with the same batch, but for the order in which numbers are added.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

HEAD, CHUNK = 2048, 4_000_000  # numbers of 16 bits that travel at once
Precision = Literal["float32", "bfloat16", "float16"]


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
    precision: Precision = "float32"
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


def _replica() -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group)
