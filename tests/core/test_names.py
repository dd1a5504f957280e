"""Any name becomes a safe path, and comes back."""

import pytest

from graft.core import names

HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "a///b/", "..", ".", "a\\b", "C:\\x", "a\0b",
    "100%.png", "%2E%2E/x", "\udcff.png", "caf\udce9/x",
]  # fmt: skip
ORDINARY = [
    "a/b.png",
    "a b/c'd\".png",
    "-rf",
    "<img onerror>",
    "new\nline",
    "caf\u00e9",
    "\u732b.png",
    ".hidden",
    "a..b",
]


@pytest.mark.parametrize("name", HOSTILE + ORDINARY)
def test_every_name_becomes_a_safe_path_and_comes_back(name: str) -> None:
    path = names.to_path(name)
    assert names.is_safe(path)
    assert names.from_path(path) == name


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert names.to_path(name) == name


def test_different_names_give_different_paths() -> None:
    assert len({names.to_path(name) for name in HOSTILE + ORDINARY}) == len(HOSTILE + ORDINARY)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "a/../b", "./a", "a\\b", "a\0", "\udcff", "x" * 4097])
def test_unsafe_paths_are_known(path: str) -> None:
    assert not names.is_safe(path)
