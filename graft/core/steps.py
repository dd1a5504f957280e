"""One step of a training as graphs: at once on one device, or in parts, on several, with a scaled loss.

In parts: rows of the batch are learned one part after the other and each replica its own, and the mean of the gradients
moves the weights. In float16 the loss is scaled so that small gradients do not vanish; a step whose gradients are not
finite moves nothing and halves the scale (Micikevicius et al. 2018).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from graft.core.errors import BadInput
from graft.core.layers import batch_norms
from graft.core.parallel import Way

FIRST_SCALE, GROWS_AFTER = 2.0**15, 2000

Told = tuple[Any, dict[str, Any]]


class Step:
    """What moves `moved` by a batch.

    Attributes:
        state: variables of the step's own that outlive it.
    """

    def __init__(
        self,
        way: Way,
        loss: Callable[..., Told],
        whole: Callable[..., tuple[Any, ...]] | None,
        moved: Sequence[Any],
        apply: Callable[[Sequence[Any]], None],
    ) -> None:
        """See `loop.Learner`; `apply` moves all that moves, given the gradients of `moved`."""
        import tensorflow as tf

        if whole is None and way.parts > 1:
            raise BadInput(
                f"each batch would be cut into {way.parts} parts (train.strategy, train.accumulate), and this loss "
                "compares the pictures of a batch with each other; train.strategy single with accumulate 1 would do"
            )
        self._way, self._loss, self._moved, self._apply = way, loss, moved, apply
        self._whole = whole or (lambda *batch: batch)
        self._scale = tf.Variable(FIRST_SCALE, trainable=False) if way.precision == "float16" else None
        self._good = tf.Variable(0.0, trainable=False) if self._scale is not None else None
        self.state = [one for one in (self._scale, self._good) if one is not None]

    def begin(self) -> None:
        """As if nothing had been learned."""
        if self._scale is not None and self._good is not None:
            self._scale.assign(FIRST_SCALE)
            self._good.assign(0.0)

    def traced(self, model: Any) -> Callable[..., Told]:
        """Called with a batch's tensors: its loss and what else is told of it.

        Batch norms of `model` take their statistics over all replicas' rows, part by part.
        """
        if self._way.replicas > 1:
            for one in batch_norms(model):
                one.synchronized = True
        return self._at_once() if self._way.accumulate == 1 and self._scale is None else self._in_parts()

    def _differentiated(self, *rows: Any) -> tuple[Any, dict[str, Any], list[Any]]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            cost, told = self._loss(*rows)
            scaled = cost if self._scale is None else cost * self._scale
        return cost, told, tape.gradient(scaled, self._moved)

    def _at_once(self) -> Callable[..., Told]:
        import tensorflow as tf

        def replica(*batch: Any) -> Told:
            cost, told, gradients = self._way.mean(self._differentiated(*self._way.mine(batch, 0)))
            self._apply(gradients)
            return cost, told

        traced: Callable[..., Told] = tf.function(
            lambda *batch: self._way.run(replica, self._whole(*batch)), reduce_retracing=True
        )
        return traced

    def _in_parts(self) -> Callable[..., Told]:
        import tensorflow as tf

        way, sums = self._way, [_sum_like(one) for one in self._moved]

        def replica(number: Any, *batch: Any) -> Told:
            cost, told, gradients = self._differentiated(*way.mine(batch, number))
            for total, gradient in zip(sums, gradients, strict=True):
                total.assign_add(gradient)
            return way.mean((cost, told))  # type: ignore[no-any-return]

        def finite() -> Any:
            return way.mean(tf.cast(tf.reduce_all([tf.reduce_all(tf.math.is_finite(one)) for one in sums]), tf.float32))

        def forget() -> None:
            for total in sums:
                total.assign(tf.zeros_like(total))

        def move() -> None:
            divisor = way.accumulate * (1.0 if self._scale is None else self._scale)
            self._apply(way.mean([tf.convert_to_tensor(total) / divisor for total in sums]))
            forget()

        prepared = tf.function(self._whole, reduce_retracing=True)
        add = tf.function(lambda number, *batch: way.run(replica, (number, *batch)), reduce_retracing=True)
        sound, dropped, moved = (tf.function(partial(way.run, work, ())) for work in (finite, forget, move))

        def step(*batch: Any) -> Told:
            rows = prepared(*batch)
            told = [add(tf.constant(number), *rows) for number in range(way.accumulate)]
            is_sound = self._scale is None or float(sound()) == 1.0
            (moved if is_sound else dropped)()
            self._rescale(is_sound)
            mean: Told = tf.nest.map_structure(lambda *each: sum(each) / len(each), *told)
            return mean

        return step

    def _rescale(self, is_sound: bool) -> None:
        """Halve the scale after gradients that were not finite, double it after many that were."""
        if self._scale is None or self._good is None:
            return
        self._good.assign(self._good + 1.0 if is_sound else 0.0)
        if not is_sound:
            self._scale.assign(self._scale / 2.0)
        elif float(self._good.numpy()) >= GROWS_AFTER:
            self._scale.assign(self._scale * 2.0)
            self._good.assign(0.0)


def _sum_like(variable: Any) -> Any:
    """Of zeros, one a replica."""
    import tensorflow as tf

    return tf.Variable(
        tf.zeros(variable.shape, tf.float32),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )
