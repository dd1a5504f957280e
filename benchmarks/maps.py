"""Which maps of where a model looked are best for their price: python -m benchmarks.maps [WORKSPACE]

WORKSPACE is one in which `graft run` ended (the current folder if none is named). Its exported file is asked about
test pictures; each map is of the label that it gave. Two figures of Petsiuk et al. 2018, both of the label's
probability, averaged while the pixels change in the order of the map:

deletion    the picture turns into its mean colour, what speaks most first: the lower, the better the map
insertion   the blurred picture turns into the picture: the higher, the better

Each method is described by what it asks the model, the price of a map. `random` and `centre` look at no answer.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import record
from graft import edge
from graft.core import rise
from graft.core.rise import Ask
from graft.hub import releases
from tasks.adapters import files
from tasks.workspace import Workspace

PICTURES, STEPS, SEED = 60, 32, 0
LEAST = 1e-4
BASE = "occlusion 8x8, 3 wide"
Map = Callable[[Ask, NDArray[np.uint8], int], NDArray[np.float32]]


class Measured(NamedTuple):
    """A value per picture, and how often each was asked about."""

    asked: int
    seconds: NDArray[np.float64]
    deletions: NDArray[np.float64]
    insertions: NDArray[np.float64]


def main(root: Path) -> None:
    """Both figures and milliseconds of the processor of every method."""
    workspace = Workspace(root.resolve())
    file = next(iter(files.read_json(workspace.export_report)["files"]))
    pictures = np.load(workspace.held_out("target", "test") / "images.npy", mmap_mode="r")
    chosen = np.random.default_rng(SEED).choice(len(pictures), PICTURES, replace=False)
    run = edge.runner(workspace.exported / file, pictures.shape[1])

    def ask(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([run(sample) for sample in samples])

    found = {name: _measure(method, ask, pictures[np.sort(chosen)]) for name, method in METHODS.items()}
    results = {name: _summary(each, found[BASE]) for name, each in found.items()}
    facts = {"file": file, "sha256": releases.describe(workspace.exported / file).sha256[:16], "pictures": PICTURES}
    record.write("maps", ("ai-edge-litert", "numpy"), [SEED], facts | {"methods": results})


def _measure(method: Map, ask: Ask, pictures: NDArray[np.uint8]) -> Measured:
    deletions, insertions, seconds, asked = [], [], [], 0

    def counted(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal asked
        asked += len(samples)
        return ask(samples)

    for picture in pictures:
        label = int(ask(picture[None])[0].argmax())
        started = process_time()
        found = method(counted, picture, label)
        seconds.append(process_time() - started)
        order = np.argsort(-_enlarged(found, len(picture)), axis=None, kind="stable")
        deletions.append(_area(ask, picture, _plain(picture), order, label))
        insertions.append(_area(ask, _blurred(picture), picture, order, label))
    return Measured(asked // len(pictures), np.array(seconds), np.array(deletions), np.array(insertions))


def _summary(one: Measured, base: Measured) -> dict[str, float | int | list[float]]:
    """With what insertion less deletion is above that of BASE, on the same pictures, and its standard error."""
    above = (one.insertions - one.deletions) - (base.insertions - base.deletions)
    return {
        "asked": one.asked,
        "processor_ms": round(1000 * float(np.median(one.seconds)), 1),
        "deletion": round(float(one.deletions.mean()), 4),
        "insertion": round(float(one.insertions.mean()), 4),
        "above_base": [round(float(above.mean()), 4), round(float(above.std() / len(above) ** 0.5), 4)],
    }


def _area(ask: Ask, start: NDArray[np.uint8], end: NDArray[np.uint8], order: NDArray[np.int64], label: int) -> float:
    """Mean probability of the label while the pixels of `start` become those of `end`, in that order."""
    shown = np.repeat(start[None], STEPS + 1, axis=0).reshape(STEPS + 1, -1, 3)
    for step in range(1, STEPS + 1):
        moved = order[: len(order) * step // STEPS]
        shown[step, moved] = end.reshape(-1, 3)[moved]
    return float(ask(shown.reshape(STEPS + 1, *start.shape))[:, label].mean())


def _plain(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(picture.mean(axis=(0, 1)).round().astype(np.uint8), picture.shape)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(len(picture) / 10)))


def _enlarged(found: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(found.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))


def _rise(masks: int, ask: Ask, picture: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    return rise.maps(ask, picture, [label], masks)[0]


def _occlusion(cells: int, wide: int, ask: Ask, picture: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    """What the log-odds lose when a patch of `wide` squared cells about each of `cells` squared is hidden."""
    edges = np.linspace(0, len(picture), cells + 1).round().astype(int)
    first = edges[np.maximum(np.arange(cells) - wide // 2, 0)]
    last = edges[np.minimum(np.arange(cells) + wide // 2 + 1, cells)]
    shown = np.repeat(picture[None], cells * cells, axis=0)
    for number, one in enumerate(shown):
        row, column = divmod(number, cells)
        one[first[row] : last[row], first[column] : last[column]] = _plain(picture)[0, 0]
    held = np.clip(ask(shown)[:, label].astype(np.float64), LEAST, 1 - LEAST)
    odds = np.log(held / (1 - held))
    return np.asarray(odds.max() - odds, np.float32).reshape(cells, cells)


def _random(ask: Ask, picture: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    return np.random.default_rng(int(picture.sum())).random((8, 8), np.float32)


def _centre(ask: Ask, picture: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    away = np.linspace(-1, 1, 8, dtype=np.float32) ** 2
    return -(away[:, None] + away[None, :])


OCCLUSIONS = ((8, 1), (8, 3), (16, 3))
RISES = (64, 128, 256, 1024)
METHODS: dict[str, Map] = {
    "random": _random,
    "centre": _centre,
    **{f"occlusion {cells}x{cells}, {wide} wide": partial(_occlusion, cells, wide) for cells, wide in OCCLUSIONS},
    **{f"RISE, {masks} masks": partial(_rise, masks) for masks in RISES},
}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
