"""Cells are known by what decides them, keep every answer, and are compared with the scratch net row by row."""

import numpy as np
import pytest

from graft.core import atlas
from graft.core.atlas import Record
from graft.core.errors import BadInput
from graft.core.evaluation import Resampling
from tests.core.records import cell, decides

HOW = Resampling(200, 0)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1700])
def test_every_answer_comes_back(n: int) -> None:
    hits = np.random.default_rng(n).integers(0, 2, n)
    told = atlas.packed(hits.tolist())
    assert np.array_equal(atlas.unpacked(told), hits) and told["accuracy"] == pytest.approx(hits.mean())


def test_damaged_answers_are_refused() -> None:
    told = atlas.packed([1, 0, 1])
    for broken in ({"rows": 3}, told | {"hits": "?"}, told | {"rows": "x"}):
        with pytest.raises(BadInput, match="a cell of the atlas is damaged"):
            atlas.unpacked(broken)


def test_a_cell_is_known_by_what_decides_it_and_by_nothing_else() -> None:
    one, other = cell("a", "t", 0, [1, 0]), cell("a", "t", 0, [0, 0])
    assert one.key == other.key and len(one.key) == 64
    different = [decides("a", "t", 1), decides("b", "t", 0), decides("a", "t", 0, 6), decides(None, "t", 0)]
    assert len({atlas.key("cell", said) for said in different} | {one.key, atlas.key("look", one.decides)}) == 6


def test_a_record_comes_back_from_json_and_anything_else_is_refused() -> None:
    one = cell("a", "t", 0, [1, 0])
    assert atlas.of(one.as_json, "x") == one
    for broken in ({}, one.as_json | {"format": "other"}, one.as_json | {"kind": "tree"}, one.as_json | {"facts": 3}):
        with pytest.raises(BadInput, match="x is no record of the atlas"):
            atlas.of(broken, "x")


def test_a_gain_is_that_over_the_scratch_net_of_the_same_seed_and_rows() -> None:
    ours, theirs = [[1, 1, 1, 0], [1, 1, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]]
    cells = [cell("a", "t", seed, ours[seed], unseen=[0, 1]) for seed in (0, 1)]
    cells += [cell(None, "t", seed, theirs[seed], unseen=[1, 1]) for seed in (0, 1)]
    [found] = atlas.gains(cells, HOW)
    assert (found.source, found.target, found.method, found.labels, found.seeds) == ("a", "t", "full", 5, (0, 1))
    assert found.per_seed == {"seen": (50.0, 50.0), "unseen": (-50.0, -50.0)}
    assert found.gain["seen"].mean == 50.0 and found.accuracy["seen"].mean == 0.625
    assert found.scratch["seen"].mean == 0.125 and found.gain["seen"].low < 50.0 < found.gain["seen"].high


def test_what_has_no_scratch_net_beside_it_gains_nothing() -> None:
    of_others = [cell(None, "u", 0, [1]), cell(None, "t", 0, [1], labels=9)]
    assert atlas.gains([cell("a", "t", 0, [1]), *of_others], HOW) == []
    [found] = atlas.gains([cell("a", "t", 0, [1]), cell(None, "t", 1, [1])], HOW)
    assert found.seeds == () and found.gain == {}  # no seed in common


def test_scratch_is_one_for_all_sources_and_methods() -> None:
    said = atlas.scratch_of(decides("a", "t", 3))
    assert said == decides(None, "t", 3) == atlas.scratch_of(decides("b", "t", 3, method={"name": "gradual"}))
    assert Record("cell", said, {}, {}).key == cell(None, "t", 3, [0]).key
