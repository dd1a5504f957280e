"""Learning curves as TensorBoard reads them; TensorBoard itself is whoever's own to install."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path


def write(folder: Path, history: Iterable[Mapping[str, float]]) -> None:
    """Write each of a training's rows, at its `step`; what an earlier training left there goes."""
    import tensorflow as tf

    # tf.summary.scalar would do the same, but lies in TensorBoard's own package
    kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind)
    shutil.rmtree(folder, ignore_errors=True)
    with tf.summary.create_file_writer(str(folder)).as_default():
        for row in history:
            for name, value in row.items():
                if name != "step":
                    tf.summary.write(name, tf.constant(value, tf.float32), int(row["step"]), metadata)
