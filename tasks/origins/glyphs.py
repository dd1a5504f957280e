"""The demo's default data: freely licensed emoji of eight art styles, composed into small hard pictures.

Animals are the source, plants the target, and there are other sets to compare sources with. Two styles are kept out of
all training: how well a model does on them says whether it learned the thing or the style. NOTICE names the artists.
"""

import zlib
from collections.abc import Iterator, Sequence
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
from tasks.origins._glyphs.photograph import photograph
from tasks.origins._glyphs.pool import ordered_map
from tasks.origins._glyphs.sets import NAMES, SETS
from tasks.origins._glyphs.sprites import drawing, render
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

COMPOSITORS = {"standard": compose, "other": photograph}


class Options(BaseModel):
    """What of the glyphs to draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_per_class: int | None = Field(
        None, ge=4, le=100_000, description="Pictures of each class; none: the set's own number."
    )
    subject: Literal["animals", "plants", "faces", "vehicles", "food", "tools", "everything_else"] | None = Field(
        None, description="Which set of glyphs; none: the one named like the domain."
    )
    compositor: Literal["standard", "other"] = Field(
        "standard", description="What draws the pictures; other: grounds, covers, light and noise of another kind."
    )
    shuffled_labels: bool = Field(
        False,
        description="Labels dealt out anew by the seed, seen and unseen styles apart: a source that teaches nothing.",
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
    return _draw(subject, options, request)


def problem(cache: Path) -> str:
    """Why the glyphs could not be fetched now, in a line; "" if they could, or are in `cache` already."""
    missing = [style.package for style in STYLES if not is_cached(style.package, cache)]
    return registry_problem(missing[0]) if missing else ""


def _draw(subject: str, options: Options, request: Request) -> Iterator[Picture]:
    jobs = plan(subject, options.images_per_class or SETS[subject].images_per_class)
    if options.shuffled_labels:
        jobs = shuffle_labels(jobs, request.domain, request.seed)
    drawings = load_drawings(SETS[subject].classes, request.cache)
    painter = Painter(drawings, request.domain, request.seed, request.size_px, options.compositor)
    workers = usable_cores() if len(jobs) >= _POOL_FROM else 1
    for done, picture in enumerate(ordered_map(painter, jobs, workers), start=1):
        if done % _PROGRESS_EVERY == 0 or done == len(jobs):
            request.progress(done, len(jobs))
        yield picture


class Job(NamedTuple):
    """One picture to be made: which of its class, counted from 0, what it shows, in which style, and its label."""

    class_index: int
    number: int
    glyph: str
    style: Style
    label: str


def plan(subject: str, images_per_class: int) -> list[Job]:
    """Every picture of a set, class by class: first the seen styles by turns, then the unseen by turns.

    A class that an unseen style does not draw has the other one's alone; a class that neither draws has none of them.
    """
    n_unseen = round(UNSEEN_SHARE * images_per_class)
    seen = [style for style in STYLES if not style.unseen]
    jobs = []
    for class_index, label in enumerate(SETS[subject].classes):
        unseen = [style for style in STYLES if style.package.name in NAMES[label].unseen]
        for number in range(images_per_class):
            styles = seen if number < images_per_class - n_unseen else unseen
            if styles:
                # The class shifts the turn, lest the styles left over should be the same ones in every class.
                style = styles[(number + class_index) % len(styles)]
                jobs.append(Job(class_index, number, label, style, label))
    return jobs


def shuffle_labels(jobs: list[Job], domain: str, seed: int) -> list[Job]:
    """The same pictures with each other's labels, dealt out among the seen styles and among the unseen."""
    generator = np.random.default_rng((seed, zlib.crc32(domain.encode())))
    shuffled = list(jobs)
    for unseen in (False, True):
        places = [place for place, job in enumerate(jobs) if job.style.unseen == unseen]
        for place, other in zip(places, generator.permutation(places).tolist(), strict=True):
            shuffled[place] = jobs[place]._replace(label=jobs[other].label)
    return shuffled


Drawings = dict[tuple[str, str], str]
"""SVG documents, by glyph and name of the style."""


def load_drawings(glyphs: Sequence[str], cache: Path) -> Drawings:
    """Every style's drawings of `glyphs`.

    Raises:
        EnvironmentProblem: an icon package cannot be had.
    """
    drawings = {}
    for style in STYLES:
        icons = read_icons(style.package, cache)
        for glyph in glyphs:
            icon = NAMES[glyph].unseen.get(style.package.name) if style.unseen else glyph
            if icon:
                drawings[glyph, style.package.name] = drawing(icons, icon)
    return drawings


@dataclass(frozen=True)
class Painter:
    """Turns jobs into pictures: all that a worker process needs to know."""

    drawings: Drawings
    domain: str
    seed: int
    size_px: int
    compositor: Literal["standard", "other"] = "standard"
    difficulty: Difficulty = DIFFICULTY

    def __call__(self, jobs: list[Job]) -> list[Picture]:
        return [self._paint(job) for job in jobs]

    def _paint(self, job: Job) -> Picture:
        # A generator for each picture: none depends on which worker made what before it.
        key = (self.seed, zlib.crc32(self.domain.encode()), job.class_index, job.number)
        sprite = render(self.drawings[job.glyph, job.style.package.name], self.size_px)
        png = COMPOSITORS[self.compositor](sprite, np.random.default_rng(key), self.difficulty, self.size_px)
        path = f"{job.glyph}/{job.number:05d}-{job.style.package.name}.png"
        return Picture(path, job.label, png, job.style.group, "unseen" if job.style.unseen else "")
