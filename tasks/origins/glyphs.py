"""The demo's default data: freely licensed emoji of eight art styles, composed into small hard pictures.

Animals are the source, plants the target. Two styles are kept out of all training: how well a model does on
them says whether it learned the thing or the style. NOTICE names the artists.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput
from graft.core.processes import usable_cores
from tasks.origins._glyphs.compose import Difficulty, compose
from tasks.origins._glyphs.packages import is_cached, read_icons, registry_problem
from tasks.origins._glyphs.pool import ordered_map
from tasks.origins._glyphs.sprites import Sprite, render
from tasks.origins._glyphs.styles import CREDITS, STYLES, Style

__all__ = ["CREDITS", "DIFFICULTY", "SETS", "Options", "fetch", "problem"]

# The one place that says how hard the pictures are. Set once, so that a scratch net with 10 labels per class lands near
# 55 % on seen styles, and frozen: every figure in the README rests on it.
DIFFICULTY = Difficulty(
    scale=(0.63, 0.95),
    rotation_deg=15,
    overhang=0.01,
    hue_deg=6,
    saturation=(0.75, 1.25),
    brightness=(0.83, 1.12),
    occluder_share=0.25,
    occluder_size=(0.15, 0.35),
    clutter=2,
    clutter_size=(0.08, 0.35),
    camouflage=0.03,
    blur_share=0.15,
    blur_px=(0.4, 1.0),
    contrast=(0.88, 1.12),
    noise_sigma=(0, 7),
)

UNSEEN_SHARE = 0.15
_PROGRESS_EVERY = 250
_POOL_FROM = 1000  # fewer pictures are made sooner than worker processes start


class GlyphSet(NamedTuple):
    """A subject: the emoji that are its classes, and how many pictures of each make the demo."""

    images_per_class: int
    classes: tuple[str, ...]


# Another set: a row here, its name in Options.subject; icons that a style names otherwise in _glyphs/styles.
SETS = {
    "animals": GlyphSet(1000, tuple("dog cat mouse rabbit tiger cow pig monkey horse fish".split())),
    "plants": GlyphSet(
        500,
        (
            *"cactus palm-tree christmas-tree seedling four-leaf-clover maple-leaf".split(),
            *"tulip rose hibiscus sunflower blossom".split(),
            *"grapes strawberry cherries pear peach tomato watermelon lemon tangerine".split(),
        ),
    ),
}


class Options(BaseModel):
    """What of the glyphs to draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_per_class: int | None = Field(
        None, ge=4, le=100_000, description="Pictures of each class; none: the set's own number."
    )
    subject: Literal["animals", "plants"] | None = Field(
        None, description="Which set of glyphs; none: the one named like the domain."
    )


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Pictures of `request.size_px` squared RGB pixels as PNG, class by class; the same for the same seed.

    Worker processes compose them: the main module must be importable and guarded by `__name__`.

    Raises:
        BadInput: no set has the name of the domain, and no subject is given.
        EnvironmentProblem: an icon package cannot be had, the renderer is missing, or a worker process died.
    """
    subject = options.subject or request.domain
    if subject not in SETS:
        raise BadInput(
            f"origin glyphs: domain {request.domain!r} is no set of glyphs; sets here: {', '.join(SETS)}; "
            "name the domain so or set the origin's subject"
        )
    return _draw(subject, options.images_per_class or SETS[subject].images_per_class, request)


def problem(cache: Path) -> str:
    """Why the glyphs could not be fetched now, in a line; "" if they could, or are in `cache` already."""
    missing = [style.package for style in STYLES if not is_cached(style.package, cache)]
    return registry_problem(missing[0]) if missing else ""


def _draw(subject: str, images_per_class: int, request: Request) -> Iterator[Picture]:
    jobs = plan(subject, images_per_class)
    painter = Painter(load_sprites(subject, request), request.domain, request.seed, request.size_px)
    workers = usable_cores() if len(jobs) >= _POOL_FROM else 1
    for done, picture in enumerate(ordered_map(painter, jobs, workers), start=1):
        if done % _PROGRESS_EVERY == 0 or done == len(jobs):
            request.progress(done, len(jobs))
        yield picture


class Job(NamedTuple):
    """One picture to be made: which of its class, counted from 0, and in which style."""

    class_index: int
    number: int
    label: str
    style: Style


def plan(subject: str, images_per_class: int) -> list[Job]:
    """Every picture of a set, class by class: first the seen styles by turns, then the unseen by turns."""
    n_unseen = round(UNSEEN_SHARE * images_per_class)
    seen = [style for style in STYLES if not style.unseen]
    unseen = [style for style in STYLES if style.unseen]
    jobs = []
    for class_index, label in enumerate(SETS[subject].classes):
        for number in range(images_per_class):
            styles = seen if number < images_per_class - n_unseen else unseen
            # The class shifts the turn, lest the styles left over should be the same ones in every class.
            jobs.append(Job(class_index, number, label, styles[(number + class_index) % len(styles)]))
    return jobs


Sprites = dict[tuple[str, str], Sprite]
"""By label and name of the style."""


def load_sprites(subject: str, request: Request) -> Sprites:
    """Every drawing of a set, rendered for `request.size_px`.

    Raises:
        EnvironmentProblem: an icon package cannot be had or the renderer is missing.
    """
    sprites = {}
    for style in STYLES:
        icons = read_icons(style.package, request.cache)
        for label in SETS[subject].classes:
            icon = style.icons.get(label, label)
            sprites[label, style.package.name] = render(icons, icon, request.size_px)
    return sprites


@dataclass(frozen=True)
class Painter:
    """Turns jobs into pictures: all that a worker process needs to know."""

    sprites: Sprites
    domain: str
    seed: int
    size_px: int
    difficulty: Difficulty = DIFFICULTY

    def __call__(self, jobs: list[Job]) -> list[Picture]:
        return [self._paint(job) for job in jobs]

    def _paint(self, job: Job) -> Picture:
        # A generator for each picture: none depends on which worker made what before it.
        key = (self.seed, zlib.crc32(self.domain.encode()), job.class_index, job.number)
        sprite = self.sprites[job.label, job.style.package.name]
        png = compose(sprite, np.random.default_rng(key), self.difficulty, self.size_px)
        path = f"{job.label}/{job.number:05d}-{job.style.package.name}.png"
        return Picture(path, job.label, png, job.style.group, "unseen" if job.style.unseen else "")
