"""Grounds and covers of the other compositor, as fields of numbers; nothing is shared with backgrounds.py."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]
"""(size, size) in [0, 1]."""
Pixels = NDArray[np.floating]
"""(size, size, 3) in [0, 1]."""
Inks = NDArray[np.floating]
"""(3, 3) in [0, 1]: three colours, one a row."""


def scene(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    """A ground: plasma, marble, mosaic, discs of light, an open horizon or woven cloth."""
    return _SCENES[int(generator.integers(len(_SCENES)))](generator, inks, size_px)


def cover(generator: np.random.Generator, centre: NDArray[np.float64], reach: float, size_px: int) -> Field:
    """How much each pixel is hidden by something about `centre`, some `reach` pixels to each side: a blotch with a
    ragged edge, a winding ribbon or parallel slats."""
    return _COVERS[int(generator.integers(len(_COVERS)))](generator, centre, reach, size_px)


def plasma(generator: np.random.Generator, size_px: int, fall: float) -> Field:
    """Noise whose amplitude falls with frequency to the power of `fall`: clouds at 2, grain at 1. Wraps around."""
    rows, columns = np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None, :]
    frequency = np.maximum(np.hypot(rows, columns), 1 / size_px)
    waves = np.fft.rfft2(generator.standard_normal((size_px, size_px))) * frequency**-fall
    waves[0, 0] = 0
    return _stretched(np.fft.irfft2(waves, (size_px, size_px)))


def _clouds(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    return _coloured(plasma(generator, size_px, float(generator.uniform(1.2, 2.2))), inks)


def _marble(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    along, _ = _axes(generator, size_px)
    bent = along * generator.uniform(1, 4) + plasma(generator, size_px, 2.0) * generator.uniform(0.5, 2)
    return _coloured(0.5 + 0.5 * np.sin(2 * math.pi * bent), inks)


def _mosaic(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    """Each pixel takes the colour of the nearest of some seeds."""
    count = int(generator.integers(6, 25))
    seeds, shades = generator.random((count, 2)) * size_px, generator.random(count)
    rows, columns = np.mgrid[:size_px, :size_px]
    distance = np.hypot(rows[..., None] - seeds[:, 0], columns[..., None] - seeds[:, 1])
    return _coloured(shades[distance.argmin(axis=2)], inks)


def _lights(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    """Lamps out of focus before the dark."""
    pixels = np.broadcast_to(inks[0] / 2, (size_px, size_px, 3)).copy()
    rows, columns = np.mgrid[:size_px, :size_px]
    for _ in range(int(generator.integers(5, 15))):
        y, x, radius = generator.random(3) * (size_px, size_px, size_px * 0.15) + (0, 0, size_px * 0.05)
        disc = np.clip(radius - np.hypot(rows - y, columns - x), 0, 1)[..., None] * generator.uniform(0.3, 0.8)
        pixels += (inks[int(generator.integers(1, 3))] - pixels) * disc
    return pixels


def _horizon(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    """A sky that pales downwards over a floor whose boards meet at the horizon."""
    line = generator.uniform(0.25, 0.75) * size_px
    rows, columns = np.mgrid[:size_px, :size_px]
    sky = (rows / line)[..., None] * 0.6
    depth = np.maximum(rows - line, 0.5)
    boards = np.floor((columns - generator.uniform(0, size_px)) / depth * generator.uniform(1, 3)) % 2
    floor = inks[1] * (0.75 + 0.25 * boards)[..., None]
    pixels: Pixels = np.where((rows < line)[..., None], inks[0] + (inks[2] - inks[0]) * sky, floor)
    return pixels


def _cloth(generator: np.random.Generator, inks: Inks, size_px: int) -> Pixels:
    along, across = _axes(generator, size_px)
    threads = float(generator.uniform(4, 14))
    weave = np.sin(2 * math.pi * along * threads) * np.sin(2 * math.pi * across * threads)
    return _coloured(0.5 + 0.35 * weave + 0.15 * (plasma(generator, size_px, 1.0) * 2 - 1), inks)


_SCENES: tuple[Callable[[np.random.Generator, Inks, int], Pixels], ...] = (
    _clouds,
    _marble,
    _mosaic,
    _lights,
    _horizon,
    _cloth,
)


def _blotch(generator: np.random.Generator, centre: NDArray[np.float64], reach: float, size_px: int) -> Field:
    distance = np.hypot(*_from(centre, size_px)) / max(reach, 1)
    ragged = distance + 0.8 * (plasma(generator, size_px, 1.6) - 0.5)
    return _soft(0.8 - ragged, reach)


def _ribbon(generator: np.random.Generator, centre: NDArray[np.float64], reach: float, size_px: int) -> Field:
    along, across = _turned(generator, centre, size_px)
    wave = 0.35 * reach * np.sin(along / max(reach, 1) * generator.uniform(1, 3) + generator.uniform(0, 2 * math.pi))
    width = reach * generator.uniform(0.2, 0.4)
    return np.minimum(_soft(width - np.abs(across - wave), 1), _soft(1.6 * reach - np.abs(along), 1))


def _slats(generator: np.random.Generator, centre: NDArray[np.float64], reach: float, size_px: int) -> Field:
    along, across = _turned(generator, centre, size_px)
    period = max(3.0, reach * float(generator.uniform(0.5, 0.9)))
    bars = 0.25 * period - np.abs((along + period / 2) % period - period / 2)
    return np.minimum(_soft(bars, 1), _soft(1.2 * reach - np.maximum(np.abs(along), np.abs(across)), 1))


_COVERS: tuple[Callable[[np.random.Generator, NDArray[np.float64], float, int], Field], ...] = (
    _blotch,
    _ribbon,
    _slats,
)


def _coloured(field: NDArray[np.floating], inks: Inks) -> Pixels:
    """From the first ink at 0 over the second to the third at 1."""
    place = np.clip(field, 0, 1)[..., None] * 2
    low, high = np.minimum(place, 1), np.maximum(place - 1, 0)
    pixels: Pixels = inks[0] * (1 - low) + inks[1] * (low - high) + inks[2] * high
    return pixels


def _stretched(field: NDArray[np.float64]) -> Field:
    stretched: Field = (field - field.min()) / np.ptp(field)
    return stretched


def _soft(inside: NDArray[np.floating], per_unit: float) -> Field:
    """1 where `inside` is above half a pixel, 0 below minus half a pixel."""
    soft: Field = np.clip(inside * per_unit + 0.5, 0, 1)
    return soft


def _from(centre: NDArray[np.float64], size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.mgrid[:size_px, :size_px] + 0.5
    return columns - centre[0], rows - centre[1]


def _turned(
    generator: np.random.Generator, centre: NDArray[np.float64], size_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = _from(centre, size_px)
    angle = float(generator.uniform(0, math.pi))
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _axes(generator: np.random.Generator, size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    along, across = _turned(generator, np.zeros(2), size_px)
    return along / size_px, across / size_px
