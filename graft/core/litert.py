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
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    scale, zero = detail["quantization"]
    return ((values.astype(np.float32) - np.float32(zero)) * np.float32(scale)).astype(np.float32)
