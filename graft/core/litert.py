"""What every reader of a TFLite file does alike: numbers in, probabilities out, whatever the file keeps them as."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_float(values: NDArray[Any], detail: Mapping[str, Any]) -> NDArray[np.float32]:
    """The real numbers that a tensor stands for: integers are (value - zero point) * scale (Jacob et al. 2018).

    Args:
        values: as the interpreter gave them.
        detail: of that tensor, as `get_output_details` has it.
    """
    scale, zero = steps(detail)
    return ((values.astype(np.float32) - np.float32(zero)) * np.float32(scale)).astype(np.float32)


def steps(detail: Mapping[str, Any]) -> tuple[float, int]:
    """(scale, zero point) of an integer tensor; (1.0, 0) of one that holds real numbers."""
    if not np.issubdtype(detail["dtype"], np.integer):
        return 1.0, 0
    scale, zero = detail["quantization"]
    return float(scale), int(zero)
