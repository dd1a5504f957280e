"""Rows in blocks: each once a pass, few blocks at once, the same for a step wherever one begins."""

from itertools import islice

import numpy as np
import pytest

from graft.core import blocks

SIZES = (7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 3)
N = sum(SIZES)


def order(steps: range, batch_size: int, seed: int = 0) -> list[int]:
    return [int(row) for step in steps for row in blocks.rows_of(step, SIZES, batch_size, seed)]


@pytest.mark.parametrize("batch_size", [1, 8, 17, N, 2 * N + 1])
def test_every_row_comes_once_a_pass_whatever_the_batch(batch_size: int) -> None:
    passes = 3
    drawn = order(range(-(-passes * N // batch_size)), batch_size)[: passes * N]
    for number in range(passes):
        assert sorted(drawn[number * N : (number + 1) * N]) == list(range(N))
    assert drawn == order(range(passes * N), 1)  # the order is that of rows, cut into batches


def test_each_pass_and_each_seed_has_its_own_order() -> None:
    first, second = order(range(N), 1), order(range(N, 2 * N), 1)
    assert first != second and first != order(range(N), 1, seed=1) and first == order(range(N), 1)


def test_rows_are_mixed_within_a_window_of_blocks_and_not_beyond() -> None:
    block_of = np.repeat(np.arange(len(SIZES)), SIZES)
    drawn = block_of[order(range(N), 1)]
    begin = list(islice(blocks.blocks_from(0, SIZES, 1, 0), len(SIZES)))
    assert sorted(begin) == list(range(len(SIZES)))
    place = 0
    for start in range(0, len(SIZES), blocks.WINDOW):
        window = begin[start : start + blocks.WINDOW]
        size = sum(SIZES[one] for one in window)
        mine = drawn[place : place + size]
        assert set(mine) == set(window)
        assert (mine[1:] != mine[:-1]).mean() > 0.5  # not one block after the other
        place += size


def test_what_will_be_needed_is_told_from_any_step_on() -> None:
    block_of = np.repeat(np.arange(len(SIZES)), SIZES)
    for step in (0, 5, 11, 16, 40):
        told = list(islice(blocks.blocks_from(step, SIZES, 8, 0), 2 * blocks.WINDOW))
        assert set(block_of[blocks.rows_of(step, SIZES, 8, 0)]) <= set(told)
