"""The file of answers is read whole, in the order of its pictures, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.core.errors import BadInput
from tasks import answered


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "seed": seed,
            "set": "seen",
            "row": row,
            "group": f"style-{row % 2}",
            "label": row % 3,
            "predicted": (row + seed) % 3,
            "probability": 0.5,
        }
        | changes
        for arm in ("transfer", "scratch")
        for seed in (0, 1)
        for row in range(6)
    ]


def written(path: Path, told: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(told), path)
    return path


def test_answers_are_read_by_set_and_arm_whatever_their_order(tmp_path: Path) -> None:
    shuffled = [rows()[index] for index in np.random.default_rng(0).permutation(24)]
    found = answered.read(written(tmp_path / "p.parquet", shuffled))
    assert set(found) == {("seen", "transfer"), ("seen", "scratch")}
    one = found["seen", "transfer"]
    assert one.seeds == (0, 1) and one.rows == tuple((f"style-{row % 2}", row % 3) for row in range(6))
    assert one.hits.tolist() == [[True] * 6, [False] * 6]


def test_no_file_means_no_answers(tmp_path: Path) -> None:
    assert answered.read(tmp_path / "p.parquet") == {}


@pytest.mark.parametrize("kind", ["no table", "columns missing", "a picture missing", "other pictures"])
def test_what_is_no_table_of_answers_is_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    path, told = tmp_path / "p.parquet", rows()
    if kind == "columns missing":
        told = [{"arm": "transfer", "seed": 0}]
    elif kind == "a picture missing":
        told.pop()
    elif kind == "other pictures":
        told[0]["label"] = 2
    written(path, told)
    if kind == "no table":
        path.write_bytes(b"PAR1 half a file")
    with pytest.raises(BadInput, match="holds no answers of a run") as caught:
        answered.read(path)
    assert "\n" not in str(caught.value)
