"""A TFLite file that holds vectors once that are the same.

A scale for each channel brings a zero point for each, of eight bytes, with every kernel and every bias: nearly all of
them zeros, and one byte in thirteen of a net with many channels. The format lets tables point to one vector, and no
reader can tell; TensorFlow's converter and AI Edge Quantizer write each anew.
"""

from typing import Any

from graft.core import tables


def shared(content: bytes) -> bytes:
    """The TFLite file `content` with the same tensors, operators and numbers in fewer bytes."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = tables.read(content)
    vectors: dict[tuple[str, bytes], int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None and tensor.quantization.details is None:
                tensor.quantization = _Quantization(schema, tensor.quantization, vectors)
    return tables.written(model)


class _Quantization:
    """Ranges of a tensor that are written as they are, or pointed to where they are already."""

    def __init__(self, schema: Any, one: Any, vectors: dict[tuple[str, bytes], int]) -> None:
        self._schema, self._one, self._vectors = schema, one, vectors

    def Pack(self, builder: Any) -> Any:  # noqa: N802  # as the schema's own tables are asked
        """Write the table; where it is."""
        parts = {"Min": self._one.min, "Max": self._one.max, "Scale": self._one.scale, "ZeroPoint": self._one.zeroPoint}
        places = {name: self._place(builder, values) for name, values in parts.items() if values is not None}
        self._schema.QuantizationParametersStart(builder)
        for name, place in places.items():
            getattr(self._schema, f"QuantizationParametersAdd{name}")(builder, place)
        self._schema.QuantizationParametersAddQuantizedDimension(builder, self._one.quantizedDimension)
        return self._schema.QuantizationParametersEnd(builder)

    def _place(self, builder: Any, values: Any) -> int:
        key = values.dtype.str, values.tobytes()
        if key not in self._vectors:
            self._vectors[key] = builder.CreateNumpyVector(values)
        return self._vectors[key]
