"""Packed splits on disk: a folder with images.npy, labels.npy and units.npy, the pictures memory-mapped when read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.dataset import Split
from graft.core.errors import BadInput

NUMBERS = ("labels", "units")


def create(folder: Path, n: int, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Writable arrays on disk: images (n, *shape) uint8, labels (n,) int64 and units (n,) int64."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, *shape))
    labels, units = (np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.int64, (n,)) for name in NUMBERS)
    return images, labels, units


def read(folder: Path) -> Split:
    """The split in `folder`, its images memory-mapped.

    Raises:
        BadInput: the folder is not there or not as `create` made it.
    """
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        labels, units = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in NUMBERS)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} holds no packed split ({error}); type: graft run --from extract") from None
    return Split(images, labels, units)


def read_all(folders: Sequence[Path]) -> Split:
    """The splits in `folders`, one after the other, as one; a single one stays memory-mapped.

    Raises:
        BadInput: as `read` does.
    """
    parts = [read(folder) for folder in folders]
    if len(parts) == 1:
        return parts[0]
    return Split(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))
