"""A TFLite file whose convolutions have weights of 4 bits, by AI Edge Quantizer, which needs no TensorFlow.

Only what LiteRT has kernels for: weights of dense convolutions get 4 bits, those of depthwise ones and of dense layers,
which are few, 8. Activations stay float32 between the layers; each picture's ranges are reckoned while the file runs.
"""

from graft.core.errors import BadInput
from graft.core.extras import Extra, lacking

NEEDS = Extra("int4", ("ai_edge_quantizer",))
WEIGHTS = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 8, "CONV_2D_TRANSPOSE": 8, "FULLY_CONNECTED": 8}
"""Bits by operator. Scales by the greatest weight: neither OCTAV nor least squares was better on every net tried, and
the quantizer's GPTQ and rotations are for dense layers only."""


def quantised(content: bytes) -> bytes:
    """The float32 TFLite file `content` with weights of `WEIGHTS` bits, symmetric, a scale for each channel.

    Raises:
        BadInput: the package of the extra `int4` is not installed.
    """
    if lack := lacking(NEEDS):
        raise BadInput(f"precision int4 {lack}")
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    made = Quantizer(bytearray(content))
    for operator, bits in WEIGHTS.items():
        made.add_dynamic_config(".*", TFLOperationName(operator), bits)
    result = made.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
