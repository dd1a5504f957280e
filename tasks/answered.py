"""The answers of a finished run to its test rows, read from the file that evaluate wrote of them."""

from pathlib import Path
from typing import Any

import numpy as np

from graft.core.answered import Answered, Answers
from graft.core.errors import BadInput, one_line

COLUMNS = ("arm", "seed", "set", "row", "group", "label", "predicted")
MAX_BYTES = 200_000_000


def read(path: Path) -> Answers:
    """By set and arm; empty if there is no such file.

    Raises:
        BadInput: it is no table of answers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return {}
    try:
        table = pq.read_table(path, columns=list(COLUMNS)).sort_by([(name, "ascending") for name in COLUMNS[:4]])
        return {
            (name, arm): _answered(table.filter((pc.field("set") == name) & (pc.field("arm") == arm)))
            for name in table["set"].unique().to_pylist()
            for arm in table["arm"].unique().to_pylist()
        }
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise BadInput(f"{path} holds no answers of a run: {one_line(str(error), 200)}") from None


def _answered(table: Any) -> Answered:
    """From rows in the order of seed, then picture.

    Raises:
        ValueError: not every seed answered every picture.
    """
    seeds = tuple(table["seed"].unique().to_pylist())
    label, predicted = (table[name].to_numpy().reshape(len(seeds), -1) for name in ("label", "predicted"))
    groups = table["group"].to_pylist()[: label.shape[1]]
    if (label != label[0]).any():
        raise ValueError("its seeds answered different pictures")
    return Answered(seeds, tuple(zip(groups, label[0].tolist(), strict=True)), np.asarray(predicted == label))
