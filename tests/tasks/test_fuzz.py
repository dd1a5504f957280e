"""Mutated pictures go through the gate's own workers: each is taken with the right pixels or refused with a reason.

What is right is told by another decoder, TensorFlow's libpng and libjpeg-turbo. A PNG that both take has equal pixels.
A JPEG has no checksums, so that changed ones decode to changed pixels: of the same bytes two decoders make the same,
save where the stream is broken and each goes on as it likes. What TensorFlow refuses and the gate takes should at least
look like the seed: a part that comes twice is no harm. How often it does not is counted and bounded.
"""

import hashlib
import io
import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from graft.core.plugins import Plugin
from graft.modalities import image
from tasks.adapters.shards import ShardWriter
from tasks.gate import examine
from tests.tasks import corpus
from tests.tasks.corpus import chunk, saved, scene

SEED = 20_261
Generator = np.random.Generator


class Mutant(NamedTuple):
    """A changed file, of which seed it is, and what was done to it."""

    data: bytes
    seed: str
    how: str


def seeds() -> dict[str, bytes]:
    pixels = scene("seed", 40, 30)
    grey = Image.fromarray(pixels).convert("L")
    return {
        "png": saved(pixels),
        "png, stored": corpus.png(
            40, 30, 8, 2, zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels), 0), chunk(b"tEXt", b"a\0b")
        ),
        "png, grey": saved(grey),
        "png, palette": saved(Image.fromarray(pixels).quantize(60)),
        "png, one bit": saved(grey.convert("1")),
        "png, 16 bits": saved(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)),
        "png, alpha": saved(np.dstack([pixels, pixels[..., 0]])),
        "png, interlaced": corpus.interlaced_png().data,
        "jpeg": saved(pixels, "JPEG", quality=90),
        "jpeg, progressive": saved(pixels, "JPEG", quality=90, progressive=True),
        "jpeg, grey": saved(grey, "JPEG", quality=90),
        "jpeg, restarts": saved(pixels, "JPEG", quality=90, restart_marker_blocks=2),
        "jpeg, turned": saved(pixels, "JPEG", quality=90, exif=corpus.orientation(b"\0\6")),
    }


def mutants(n: int) -> Iterator[Mutant]:
    generator = np.random.default_rng(SEED)
    sound = seeds()
    names, ways = list(sound), list(WAYS)
    for number in range(n):
        name, how = names[number % len(names)], ways[generator.integers(len(ways))]
        yield Mutant(WAYS[how](sound[name], generator), name, how)


def bits(data: bytes, generator: Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.integers(1, 5)):
        changed[generator.integers(len(data))] ^= 1 << generator.integers(8)
    return bytes(changed)


def truncation(data: bytes, generator: Generator) -> bytes:
    return data[: generator.integers(len(data))]


def insertion(data: bytes, generator: Generator) -> bytes:
    at = generator.integers(len(data) + 1)
    return data[:at] + generator.bytes(int(generator.integers(1, 40))) + data[at:]


def removal(data: bytes, generator: Generator) -> bytes:
    at = generator.integers(len(data))
    return data[:at] + data[at + int(generator.integers(1, 40)) :]


def zeroes(data: bytes, generator: Generator) -> bytes:
    at, n = generator.integers(len(data)), int(generator.integers(1, 60))
    return data[:at] + bytes(min(n, len(data) - at)) + data[at + n :]


def length(data: bytes, generator: Generator) -> bytes:
    """The length of a part changed; a PNG's other checksums stay right."""
    at, _, size = _part(data, generator)
    odd = int(generator.choice([0, 1, 2, max(0, size - 1), size + 1, 2**15 - 1, 2**16 - 1, 2**31 - 1]))
    if data.startswith(b"\x89PNG"):
        return data[:at] + struct.pack(">I", odd) + data[at + 4 :]
    return data[: at + 2] + struct.pack(">H", odd % 2**16) + data[at + 4 :]


def splice(data: bytes, generator: Generator) -> bytes:
    """A part repeated, left out, or put elsewhere."""
    at, end, _ = _part(data, generator)
    other, _, _ = _part(data, generator)
    return [data[:end] + data[at:], data[:at] + data[end:], data[:other] + data[at:end] + data[other:]][
        generator.integers(3)
    ]


def resealed(data: bytes, generator: Generator) -> bytes:
    """Bits changed in a PNG's chunk and its checksum made right again: what a hostile author would do."""
    if not data.startswith(b"\x89PNG"):
        return bits(data, generator)
    at, end, size = _part(data, generator)
    name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
    return data[:at] + chunk(name, bits(body, generator) if body else generator.bytes(3)) + data[end:]


WAYS: dict[str, Callable[[bytes, Generator], bytes]] = {
    way.__name__: way for way in (bits, truncation, insertion, removal, zeroes, length, splice, resealed)
}


def _part(data: bytes, generator: Generator) -> tuple[int, int, int]:
    """Start, end and length of the contents of a chunk (PNG) or segment (JPEG)."""
    parts = []
    if data.startswith(b"\x89PNG"):
        at = 8
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            parts.append((at, at + 12 + size, size))
            at += 12 + size
    else:
        at = 2
        while data[at + 1] != 0xDA:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            parts.append((at, at + 2 + size, size))
            at += 2 + size
    return parts[generator.integers(len(parts))]


# Through the gate's workers


def examined(mutated: list[Mutant], folder: Path) -> examine.Examination:
    rows = []
    (folder / "raw").mkdir()
    with ShardWriter(folder / "raw") as shards:
        for number, mutant in enumerate(mutated):
            place = shards.add(f"{number}", mutant.data)
            rows.append(("target", place.shard, place.offset, place.bytes_, ""))
    frame = pd.DataFrame(rows, columns=["domain", "shard", "offset", "bytes", "problem"])
    plugin = Plugin("image", image, image.Options())
    return examine.pixels(frame, {"target": folder / "raw"}, plugin, folder, lambda done, total: None)


def digest(pixels: NDArray[np.uint8]) -> str:
    size = repr((pixels.shape[1], pixels.shape[0])).encode()
    return hashlib.blake2b(size + pixels.tobytes(), digest_size=16).hexdigest()


def otherwise(data: bytes) -> NDArray[np.uint8] | None:
    """RGB pixels by TensorFlow, not turned by EXIF; None if it refuses."""
    import tensorflow as tf

    try:
        if data.startswith(b"\xff\xd8"):
            return np.asarray(tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy())
        with Image.open(io.BytesIO(data)) as opened:
            deep, clear = opened.mode.startswith("I"), "A" in opened.mode or "transparency" in opened.info
        found = tf.io.decode_png(data, channels=4 if clear else 3, dtype=tf.uint16 if deep else tf.uint8).numpy()
    except tf.errors.InvalidArgumentError:
        return None
    rgb, alpha = found[..., :3], found[..., 3:]
    if deep:
        return np.round(rgb / np.float32(257)).astype(np.uint8)
    if not clear:
        return np.asarray(rgb)
    return np.round(rgb * (alpha / 255.0) + 255.0 * (1.0 - alpha / 255.0)).astype(np.uint8)


def gap(data: bytes, seen: examine.Examination, row: int) -> float | None:
    """How far the gate's pixels are from the other decoder's, on average, of 255; None if that refuses."""
    other = otherwise(data)
    if other is None:
        return None
    turns = [other, *(np.asarray(Image.fromarray(other).transpose(turn)) for turn in Image.Transpose)]
    if seen.columns["pixels"][row] in map(digest, turns):
        return 0.0
    sample = image.measure(data).sample
    assert sample is not None
    alike = [turn for turn in turns if turn.shape == sample.shape]
    return min((float(np.abs(turn.astype(int) - sample).mean()) for turn in alike), default=255.0)


def judge(n: int, folder: Path) -> tuple[Counter[str], dict[str, list[float]]]:
    """What became of `n` mutants, and the gaps by format of those that both decoders take."""
    mutated = list(mutants(n))
    alive = os.getpid()
    seen = examined(mutated, folder)
    assert os.getpid() == alive and len(seen.columns["problem"]) == n
    fate: Counter[str] = Counter()
    sound = seeds()
    gaps: dict[str, list[float]] = {"png": [], "jpeg": []}
    for row, (mutant, problem) in enumerate(zip(mutated, seen.columns["problem"], strict=True)):
        rule, _, reason = problem.partition(": ")
        if problem:
            assert rule in image.RULES and reason and reason.isprintable() and "crashed" not in reason
            assert not seen.columns["pixels"][row]
            fate[rule] += 1
            continue
        fate["taken"] += 1
        away = gap(mutant.data, seen, row)
        fate["taken by the gate alone"] += away is None
        fate["taken by the gate alone, not like the seed"] += away is None and seen.columns["pixels"][row] != (
            image.measure(sound[mutant.seed]).pixels
        )
        if away is not None:
            gaps["jpeg" if mutant.seed.startswith("jpeg") else "png"].append(away)
    print(dict(fate), {name: np.histogram(found, [0, 1e-9, 0.5, 2, 8, 32, 256])[0] for name, found in gaps.items()})
    return fate, gaps


def check(n: int, folder: Path) -> None:
    fate, gaps = judge(n, folder)
    assert fate["taken"] > n / 10 and fate["unreadable"] > n / 4
    assert np.max(gaps["png"]) <= 0.5  # of transparency, rounded otherwise
    jpeg = np.array(gaps["jpeg"])
    assert len(jpeg) > n / 20 and np.mean(jpeg <= 0.5) >= 0.9
    assert fate["taken by the gate alone, not like the seed"] <= n / 100


def test_a_hundred_mutants_and_more_are_taken_with_the_right_pixels_or_refused_with_a_reason(tmp_path: Path) -> None:
    check(150, tmp_path)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_ten_thousand_mutants_are_taken_with_the_right_pixels_or_refused_with_a_reason(tmp_path: Path) -> None:
    check(10_000, tmp_path)


def test_a_seed_that_nobody_changed_is_taken_and_both_decoders_agree(tmp_path: Path) -> None:
    sound = [Mutant(data, name, "") for name, data in seeds().items()]
    seen = examined(sound, tmp_path)
    assert list(seen.columns["problem"]) == [""] * len(sound)
    for row, mutant in enumerate(sound):
        found = gap(mutant.data, seen, row)
        assert found is not None and found <= 0.5
