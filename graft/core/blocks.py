"""The order of rows that lie in blocks, where a block is dear to fetch and rows of it are cheap.

Every pass takes the blocks in an order of its own, a window of several at a time, and the rows of a window all mixed:
few blocks are needed at once, and each once a pass. It is the shuffle buffer of WebDataset (Aizman et al. 2019), but
drawn by number: the same step has the same rows, wherever one begins.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WINDOW = 8
"""Blocks whose rows are mixed. Rows that are in no order within the blocks are needed, or few classes meet."""


def rows_of(step: int, blocks: Sequence[int], batch_size: int, seed: int) -> NDArray[np.int64]:
    """Row indices of the batch at `step` (from 0): every row once per pass.

    Args:
        blocks: rows in each block; block after block, they are numbered from 0.
    """
    n, start, end = sum(blocks), step * batch_size, (step + 1) * batch_size
    found = [
        _order(tuple(blocks), number, seed)[max(0, start - number * n) : end - number * n]
        for number in range(start // n, (end - 1) // n + 1)
    ]
    rows: NDArray[np.int64] = np.concatenate(found)
    return rows


def blocks_from(step: int, blocks: Sequence[int], batch_size: int, seed: int) -> Iterator[int]:
    """Blocks in the order in which they are needed from the window of `step` on, without end."""
    n, sizes = sum(blocks), tuple(blocks)
    number, place = divmod(step * batch_size, n)
    while True:
        seen = 0
        for window in _windows(sizes, number, seed):
            seen += sum(sizes[one] for one in window)
            if seen > place:
                yield from window
        number, place = number + 1, 0


@lru_cache(maxsize=4)
def _order(blocks: tuple[int, ...], number: int, seed: int) -> NDArray[np.int64]:
    """All rows, as pass `number` takes them."""
    starts = np.concatenate([[0], np.cumsum(blocks)[:-1]])
    parts = []
    for index, window in enumerate(_windows(blocks, number, seed)):
        rows = np.concatenate([np.arange(starts[one], starts[one] + blocks[one]) for one in window])
        parts.append(np.random.default_rng((seed, number, index)).permutation(rows))
    order: NDArray[np.int64] = np.concatenate(parts).astype(np.int64)
    return order


def _windows(blocks: tuple[int, ...], number: int, seed: int) -> list[list[int]]:
    order = np.random.default_rng((seed, number)).permutation(len(blocks)).tolist()
    return [order[start : start + WINDOW] for start in range(0, len(order), WINDOW)]
