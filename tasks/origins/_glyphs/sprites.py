"""SVG icons as sprites: each drawing rendered once, at the few sizes that composing asks for."""

import io
from typing import Any, NamedTuple

from PIL import Image

from graft.core.errors import EnvironmentProblem

# Shares of the picture's edge. Composing starts from the next larger rung: above the lowest it then shrinks
# by no more than a third, and bilinear sampling does not alias.
_RUNGS = (0.3, 0.45, 0.6, 0.8, 1.0)


class Sprite(NamedTuple):
    """One drawing of one class.

    Attributes:
        rungs: square premultiplied RGBA pixels (mode RGBa) at rising sizes.
        colour: mean colour of what is drawn, three values in [0, 255].
    """

    rungs: tuple[Image.Image, ...]
    colour: tuple[float, float, float]


def render(icons: dict[str, Any], icon: str, size_px: int) -> Sprite:
    """The icon named `icon` of an icon file as a sprite for pictures of `size_px`.

    Raises:
        EnvironmentProblem: resvg_py is not installed.
        KeyError: the icon file has no such icon.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise EnvironmentProblem(
            "origin glyphs: resvg-py is not installed; `make demo ORIGIN=shapes` needs no renderer"
        ) from None
    edge = 2 * size_px
    png = svg_to_bytes(svg_string=_svg(icons, icon), width=edge, height=edge, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    sizes = [max(8, round(rung * size_px)) for rung in _RUNGS]
    # Premultiplied before shrinking, or the colour of transparent pixels would bleed into the edges.
    whole = drawn.convert("RGBa")
    rungs = tuple(whole.resize((size, size), Image.Resampling.BOX) for size in sizes)
    return Sprite(rungs, _mean_colour(rungs[0]))


def _svg(icons: dict[str, Any], name: str) -> str:
    """The icon as a square SVG document, its drawing centred; sizes not given are the file's, then 16."""
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
