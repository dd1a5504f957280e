"""A TFLite file whose kernels take half the bytes, and nothing else.

TensorFlow's converter makes float16 of every number that it finds: of biases and of what normalises a channel, too,
which are one number in a hundred, and from which half of the file's error comes or more. Here they stay as they are.
"""

from typing import Any

import numpy as np

from graft.core import tables

VERSION = 3
"""Of the operator that widens numbers: the first that takes float16."""


def halved(content: bytes) -> bytes:
    """The float32 TFLite file `content` with kernels of float16, which a runtime widens when it opens the file.

    A kernel is a constant with more numbers than its longest axis. What is too large for float16 becomes the largest
    number that it has.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = tables.read(content)
    buffers = _kernels(schema, model)
    for index in buffers:
        model.buffers[index].data = _half(model.buffers[index].data)
    code = _code(schema, model) if buffers else 0
    for graph in model.subgraphs:
        kernels = [index for index, one in enumerate(graph.tensors) if one.buffer in buffers]
        wide = {index: len(graph.tensors) + place for place, index in enumerate(kernels)}
        for operator in graph.operators:
            inputs = [] if operator.inputs is None else operator.inputs
            operator.inputs = [wide.get(int(index), int(index)) for index in inputs]
        graph.operators = [_widening(schema, code, *pair) for pair in wide.items()] + graph.operators
        graph.tensors += [_split(schema, graph.tensors[index]) for index in kernels]
    return tables.written(model)


def _kernels(schema: Any, model: Any) -> set[int]:
    """Indices of the buffers that nothing but kernels lies in."""
    kinds: dict[bool, set[int]] = {True: set(), False: set()}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            shape = [1] if tensor.shape is None else [1, *tensor.shape]
            is_large = int(np.prod(shape)) > max(shape)
            kinds[is_large and tensor.type == schema.TensorType.FLOAT32].add(tensor.buffer)
    return {index for index in kinds[True] - kinds[False] if model.buffers[index].data is not None}


def _half(data: Any) -> Any:
    limit = float(np.finfo(np.float16).max)
    return np.frombuffer(bytes(data), "<f4").clip(-limit, limit).astype("<f2").view(np.uint8)


def _code(schema: Any, model: Any) -> int:
    """Index of the operator that widens numbers, put behind those that the file names."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _widening(schema: Any, code: int, half: int, wide: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [half], [wide]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator


def _split(schema: Any, tensor: Any) -> Any:
    """Make `tensor` the one of float16, under a name of its own; what it is widened to."""
    wide = schema.TensorT()
    wide.name, wide.shape, wide.type, wide.hasRank = tensor.name, tensor.shape, tensor.type, tensor.hasRank
    tensor.name, tensor.type = tensor.name + b"_float16", schema.TensorType.FLOAT16
    return wide
