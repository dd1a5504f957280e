"""How the report's figures are drawn: inline SVG whose colours are CSS variables of the page, so they follow its theme.

Text stays text: the browser draws it in its own font, names of any script included. The same values give the
same bytes.
"""

import base64
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from graft.core.errors import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, safe for colour-blind readers; a shape goes with each, safe in black and white.
ARMS = {"transfer": ("#0072b2", "o"), "scratch": ("#d55e00", "s"), "article": ("#009e73", "D")}

INK, MUTED, LINE = "#101112", "#5a6270", "#d5d9e0"
DOMAINS = (("#a8508f", "o"), ("#b07d00", "^"))
_VARIABLES = {
    **{colour: arm for arm, (colour, _) in ARMS.items()},
    **{INK: "ink", MUTED: "muted", LINE: "line", DOMAINS[0][0]: "source", DOMAINS[1][0]: "target"},
}


def alone(chart: Markup) -> str:
    """A figure as an SVG file of its own, on white."""
    opening, _, body = str(chart).partition(">")
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', opening)
    width, height = found.groups() if found else ("520", "300")
    colours = "; ".join(f"--{name}: {colour}" for colour, name in _VARIABLES.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<style>svg {{ {colours} }} text {{ font-family: system-ui, sans-serif !important }}</style>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{body}'
    )


def sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], cell_px: int) -> str:
    """Square pictures, (size, size, 3) each, as one image (data: URI); every row of pictures a row of it."""
    from PIL import Image

    columns = max((len(row) for row in rows), default=1)
    canvas = Image.new("RGBA", (columns * cell_px, len(rows) * cell_px))
    for top, row in enumerate(rows):
        for left, pixels in enumerate(row):
            picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).convert("RGB")
            inner = picture.resize((cell_px - 2, cell_px - 2), Image.Resampling.LANCZOS)
            canvas.paste(inner, (left * cell_px + 1, top * cell_px + 1))
    buffer = io.BytesIO()
    # As PNG, noisy pictures would make the page several times larger than all else in it.
    canvas.save(buffer, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey copy of a (size, size, 3) picture, under a (size, size) map in [0, 255] that goes from dark to bright."""
    import matplotlib

    colour = matplotlib.colormaps["inferno"](heat)[..., :3]
    share = 0.45 + 0.35 * heat[..., None] / 255.0
    grey = picture.mean(axis=2, keepdims=True) / 255.0
    mixed: NDArray[np.uint8] = np.rint(255.0 * ((1.0 - share) * grey + share * colour)).astype(np.uint8)
    return mixed


@contextmanager
def canvas(width_px: int, height_px: int) -> "Iterator[Figure]":
    """A figure to draw on and turn into SVG inside the block; no pyplot, so no figure outlives it."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {  # its keys are literals to matplotlib's own types
        **{"svg.fonttype": "none", "font.size": 12, "axes.titlesize": 12, "legend.frameon": False},
        "text.parse_math": False,  # a class may be called "$x"
        **{f"axes.spines.{side}": False for side in ("top", "right", "left", "bottom")},
        **{"axes.grid": True, "grid.color": LINE, "grid.linewidth": 1, "axes.axisbelow": True},
        **{"text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": INK},
        **{"xtick.major.size": 0, "ytick.major.size": 0, "figure.facecolor": "none", "axes.facecolor": "none"},
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        # The browser has the glyph; only matplotlib's own font, used to measure, does not.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield Figure(figsize=(width_px / 72, height_px / 72), dpi=72, layout="constrained")


def svg(figure: "Figure", name: str, alt: str) -> Markup:
    """`name` keeps ids of different figures apart in one page."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = name
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=216, metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(
        r"(fill|stroke): (#[0-9a-f]{6})",
        lambda m: f"{m[1]}: var(--{_VARIABLES[m[2]]})" if m[2] in _VARIABLES else m[0],
        body,
    )
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    opening = f'<svg class="chart" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}"'
    return Markup(f'{opening} style="max-width: {width}px">{body}')  # matplotlib escapes the text in body


def dot(
    axes: "Axes",
    row: int,
    mean: float,
    low: float,
    high: float,
    seeds: Sequence[float],
    colour: str,
    marker: str,
    form: str,
) -> None:
    """A mean with its interval and each seed, in a row of its own; `form` says how the mean is written beside it."""
    axes.plot(seeds, [row] * len(seeds), marker, color=colour, markersize=5, alpha=0.3, markeredgewidth=0)
    axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.6, solid_capstyle="round")
    axes.plot([mean], [row], marker, color=colour, markersize=9, zorder=3)
    right = max(high, *seeds, mean) if seeds else max(high, mean)
    text = form.format(mean).replace("-", "−")
    axes.annotate(text, (right, row), (9, 0), textcoords="offset points", va="center", weight="bold")


def rows_of(axes: "Axes", labels: Sequence[str]) -> None:
    """A row for each label, the first on top."""
    axes.set_yticks(range(len(labels)), [one_line(label, 22) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def room_for_labels(axes: "Axes") -> None:
    """A little air on the left, room for a number on the right, and never a span that blows up noise."""
    left, right = axes.get_xlim()
    missing = max(0.0, 10 - (right - left)) / 2
    left, right = left - missing, right + missing
    axes.set_xlim(left, right + 0.14 * (right - left))


def hue(index: int, count: int) -> tuple[str, str]:
    """One of so many colours, and one of a few shapes: neighbours differ in both."""
    from colorsys import hls_to_rgb

    channels = hls_to_rgb(index / count, 0.5 + 0.1 * (index % 2), 0.7)
    return "#" + "".join(f"{round(255 * one):02x}" for one in channels), "o^sDv"[index % 5]


def in_order(run: Mapping[float, float]) -> tuple[list[float], list[float]]:
    """Steps, and the value at each, by step."""
    steps = sorted(run)
    return steps, [run[step] for step in steps]
