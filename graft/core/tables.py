"""A TFLite file as the tables of its schema, which can be changed and written anew."""

from typing import Any

import numpy as np

ALIGNED = 16
"""Bytes by which weights are aligned in a file, so that kernels may read them where they lie."""


def read(content: bytes) -> Any:
    """The schema's `ModelT`; weights that stood behind the tables (AI Edge Quantizer's) stand in them."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    for one in model.buffers:
        if one.offset > 1:
            one.data = np.frombuffer(content, np.uint8, one.size, one.offset)
            one.offset = one.size = 0
    return model


def written(model: Any) -> bytes:
    """The file of a `ModelT`."""
    import flatbuffers

    model.buffers = [_Buffer(one) for one in model.buffers]
    builder = flatbuffers.Builder(sum(len(one.data) for one in model.buffers if one.data is not None))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Buffer:
    """Weights, aligned, which the schema's own classes leave out."""

    def __init__(self, one: Any) -> None:
        self._one, self.data = one, one.data

    def Pack(self, builder: Any) -> Any:  # noqa: N802  # as the schema's own tables are asked
        """Write the table; where it is."""
        if self.data is not None:
            builder.Prep(ALIGNED, len(self.data))
        return self._one.Pack(builder)
