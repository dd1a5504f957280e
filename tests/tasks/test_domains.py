"""Domains made of others: a mix keeps its shares and all classes; a source loses what the target has, too."""

from pathlib import Path

import numpy as np
import pytest

from graft.core.dataset import Split
from graft.core.errors import BadInput
from tasks import domains
from tasks.domains import Domain
from tasks.workspace import Workspace


def pictures(seed: int, n: int, n_classes: int) -> Split:
    generator = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % n_classes
    return Split(generator.integers(0, 256, (n, 4, 4, 3), np.uint8), labels, np.arange(n, dtype=np.int64))


def domain(folder: Path, name: str, seed: int, sizes: dict[str, int], n_classes: int) -> Domain:
    """A domain of random pictures."""
    home = folder / f"source-{name}"
    home.mkdir(parents=True)
    for index, (split, n) in enumerate(sizes.items()):
        domains._write(home / split, pictures(seed + index, n, n_classes))
    domains._describe(home, name, [f"{name}{index}" for index in range(n_classes)])
    return domains.open_domain(home)


def test_a_mix_has_its_shares_of_pictures_and_every_class(tmp_path: Path) -> None:
    a = domain(tmp_path / "d", "a", 0, {"train": 90, "validation": 12}, 3)
    b = domain(tmp_path / "d", "b", 10, {"train": 40, "validation": 8}, 2)
    place = Workspace(tmp_path)
    mixed = domains.mix(place, "ab", {"a": (a, 3.0), "b": (b, 1.0)}, 0)
    train = mixed.split("train")
    assert mixed.classes == ("a/a0", "a/a1", "a/a2", "b/b0", "b/b1")
    assert np.bincount(train.labels).tolist() == [30, 30, 30, 15, 15]  # all of a, and a third as many of b
    ours, theirs = (set(domains.digests(one.split("train"))) for one in (a, b))
    of = domains.digests(train)
    assert set(of[:90]) == ours and set(of[90:]) < theirs
    assert domains.mix(place, "ab", {"a": (a, 3.0), "b": (b, 1.0)}, 0).sha256 == mixed.sha256
    other = domains.mix(place, "ab", {"a": (a, 1.0), "b": (b, 1.0)}, 0)
    counts = np.bincount(other.split("train").labels)
    assert other.sha256 != mixed.sha256 and sorted(counts[:3]) == [13, 13, 14] and counts[3:].tolist() == [20, 20]


def test_a_source_is_shown_without_the_pictures_that_the_target_is_tested_on(tmp_path: Path) -> None:
    source = domain(tmp_path / "d", "a", 0, {"train": 20, "validation": 6}, 2)
    target = domain(tmp_path / "t", "t", 50, {"train": 8, "validation": 4, "test": 6}, 2)
    place = Workspace(tmp_path)
    assert domains.without(place, source, target) is source
    leaked = source.split("train").take(np.array([3, 4]))
    domains._write(target.folder / "test", leaked)
    target = domains.open_domain(target.folder)
    clean = domains.without(place, source, target)
    assert len(clean.split("train")) == 18 and len(clean.split("validation")) == 6
    assert not set(domains.digests(leaked)) & set(domains.digests(clean.split("train")))
    assert clean.hash("train", "validation") != source.hash("train", "validation") and clean.name == source.name


def test_a_source_that_is_the_target_is_refused(tmp_path: Path) -> None:
    source = domain(tmp_path / "d", "a", 0, {"train": 20, "validation": 6}, 2)
    target = domain(tmp_path / "t", "t", 0, {"train": 20, "validation": 6}, 2)
    with pytest.raises(
        BadInput, match="source a shares pictures with target t, and without them a class has none left"
    ):
        domains.without(Workspace(tmp_path), source, target)


def test_content_is_named_by_bytes_and_the_order_of_classes(tmp_path: Path) -> None:
    one = domain(tmp_path / "1", "a", 0, {"train": 20, "validation": 6}, 2)
    same = domain(tmp_path / "2", "a", 0, {"train": 20, "validation": 6}, 2)
    other = domain(tmp_path / "3", "a", 1, {"train": 20, "validation": 6}, 2)
    assert one.hash("train") == same.hash("train") != other.hash("train")
    assert one.hash("train") != one.hash("train", "validation")
    turned = Domain(one.name, one.folder, one.classes[::-1], one.sha256)
    assert turned.hash("train") != one.hash("train")
