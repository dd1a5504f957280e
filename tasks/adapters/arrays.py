"""Packed splits on disk: a folder with images.npy, labels.npy and units.npy, the pictures memory-mapped when read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graft.core.dataset import Split
from graft.core.errors import BadInput

NUMBERS = ("labels", "units")


def create(folder: Path, n: int, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Writable arrays on disk: images (n, *shape) uint8, labels (n,) int64 and units (n,) int64."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, *shape))
    labels, units = (np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.int64, (n,)) for name in NUMBERS)
    return images, labels, units


class Writer:
    """Puts a split in a folder picture by picture: what `create` makes and its arrays filled, and nothing in memory.

    A file that is mapped counts as memory of whoever writes to it, until the system has put it on the disk.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], labels: NDArray[np.int64], units: NDArray[np.int64]):
        """Labels and units of all rows, (n,) each; pictures of `shape` follow by `add`, n in all."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in zip(NUMBERS, (labels, units), strict=True):
            np.save(folder / f"{name}.npy", values.astype(np.int64, copy=False), allow_pickle=False)
        self._shape, self._left = shape, len(labels)
        self._file = (folder / "images.npy").open("wb")
        kind = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": (len(labels), *shape)}
        np.lib.format.write_array_header_1_0(self._file, kind)

    def add(self, image: NDArray[np.uint8]) -> None:
        """The next picture.

        Raises:
            ValueError: it has another shape or type, or all rows are there.
        """
        if image.shape != self._shape or image.dtype != np.uint8 or not self._left:
            raise ValueError(f"{image.shape} {image.dtype} where {self._left} of {self._shape} uint8 are left")
        self._file.write(np.ascontiguousarray(image).data)
        self._left -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None and self._left:
            raise ValueError(f"{self._left} pictures were announced and did not come")


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
