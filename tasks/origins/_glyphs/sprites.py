"""SVG icons as sprites: each drawing rendered once, at the few sizes that composing asks for."""

import io
from functools import lru_cache
from typing import Any, NamedTuple

from PIL import Image

from graft.core.errors import EnvironmentProblem

# Shares of the picture's edge. Composing starts from the next larger rung: above the lowest it then shrinks
# by no more than a third, and bilinear sampling does not alias.
_RUNGS = (0.3, 0.45, 0.6, 0.8, 1.0)
_REMEMBERED = 64  # sprites: pictures come class by class, and a large set's would take 200 MB per worker


class Sprite(NamedTuple):
    """One drawing of one class.

    Attributes:
        rungs: square premultiplied RGBA pixels (mode RGBa) at rising sizes.
        colour: mean colour of what is drawn, three values in [0, 255].
    """

    rungs: tuple[Image.Image, ...]
    colour: tuple[float, float, float]


@lru_cache(maxsize=_REMEMBERED)
def render(svg: str, size_px: int) -> Sprite:
    """A square SVG document as a sprite for pictures of `size_px`.

    Raises:
        EnvironmentProblem: resvg_py is not installed.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise EnvironmentProblem(
            "origin glyphs: resvg-py is not installed; `make demo ORIGIN=shapes` needs no renderer"
        ) from None
    edge = 2 * size_px
    png = svg_to_bytes(svg_string=svg, width=edge, height=edge, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    sizes = [max(8, round(rung * size_px)) for rung in _RUNGS]
    # Premultiplied before shrinking, or the colour of transparent pixels would bleed into the edges.
    whole = drawn.convert("RGBa")
    rungs = tuple(whole.resize((size, size), Image.Resampling.BOX) for size in sizes)
    return Sprite(rungs, _mean_colour(rungs[0]))


def drawing(icons: dict[str, Any], name: str) -> str:
    """The icon of that name, or that the name is another's alias for, as a square SVG document, its drawing centred.

    Sizes that are not given are the file's, then 16.

    Raises:
        KeyError: the icon file has no such icon.
    """
    while name not in icons["icons"]:
        name = icons.get("aliases", {})[name]["parent"]
    icon = icons["icons"][name]
    left, top = (float(icon.get(key, icons.get(key, 0))) for key in ("left", "top"))
    width, height = (float(icon.get(key, icons.get(key, 16))) for key in ("width", "height"))
    edge = max(width, height)
    box = f"{left - (edge - width) / 2} {top - (edge - height) / 2} {edge} {edge}"
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} viewBox="{box}" width="{edge}" height="{edge}">{icon["body"]}</svg>'


def _mean_colour(sprite: Image.Image) -> tuple[float, float, float]:
    red, green, blue, alpha = (float(value) for value in sprite.resize((1, 1), Image.Resampling.BOX).tobytes())
    share = 255 / max(alpha, 1)
    return red * share, green * share, blue * share
