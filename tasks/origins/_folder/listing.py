"""What lies in class folders: every file that is a picture by name, and whatever stands in the way."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from graft.core.errors import BadInput, one_line
from tasks.origins._folder.reading import LINK

# The gate takes JPEG and PNG, by content. The others are handed over too: to be refused by name, not passed over.
SUFFIXES = frozenset(
    ".jpg .jpeg .png .gif .webp .bmp .tif .tiff .svg .eps .pdf .heic .avif".split()  # lower case
)


class Entry(NamedTuple):
    """One picture to be read.

    Attributes:
        name: relative to the root, as the file system has it.
        label: class name.
        split, group: as the manifest says; "" without one.
        problem: why it is not to be read, as "rule: reason"; "" if it is.
    """

    name: str
    label: str
    split: str = ""
    group: str = ""
    problem: str = ""


def class_folders(root: Path, fewest: int = 2) -> Iterator[Entry]:
    """Every picture in `root/<class>/**`, class by class, in name order; hidden files and folders are left out.

    A link to a folder, or a folder that cannot be listed, is one entry with a problem. Memory holds one class.

    Raises:
        BadInput: `root` cannot be listed, there are fewer class folders than `fewest`, one is empty, or its name is no
            text.
    """
    try:
        here = _visible(root)
    except OSError as error:
        raise BadInput(one_line(f"origin folder: {str(root)!r} cannot be listed: {error.strerror}")) from None
    classes = {one.name for one in here if _is_folder(one)}
    links = {one.name for one in here if _is_link_to_folder(one)}
    for name in [*sorted(classes), *sorted(links)]:
        _check_text(root / name)
    if len(classes) < fewest:
        found = ", ".join(one_line(name) for name in sorted(classes)) or "none"
        wanted = "1 class folder" if fewest == 1 else f"{fewest} class folders"
        raise BadInput(f"origin folder: {one_line(str(root))!r} needs at least {wanted}; found {found}")
    for name in sorted(classes | links):
        if name in links:
            yield Entry(name, name, problem=LINK)
            continue
        entries = sorted(_below(root, name), key=lambda one: one.name.split("/"))
        if not entries:
            raise BadInput(f"origin folder: class {one_line(str(root / name))} is empty: no picture in it")
        yield from entries


def _below(root: Path, label: str) -> Iterator[Entry]:
    todo = [label]  # a list, not recursion: folders nest deeper than Python's stack
    while todo:
        folder = todo.pop()
        try:
            found = _visible(root / folder)
        except OSError as error:
            yield Entry(folder, label, problem=f"unreadable: {error.strerror}")
            continue
        for one in found:
            name = f"{folder}/{one.name}"
            if _is_folder(one):
                todo.append(name)
            elif _is_link_to_folder(one):
                yield Entry(name, label, problem=LINK)
            elif PurePosixPath(one.name).suffix.lower() in SUFFIXES:
                yield Entry(name, label)


def _visible(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return [one for one in entries if not one.name.startswith(".")]


def _is_folder(one: "os.DirEntry[str]") -> bool:
    return one.is_dir(follow_symlinks=False)


def _is_link_to_folder(one: "os.DirEntry[str]") -> bool:
    return one.is_symlink() and os.path.isdir(one.path)


def _check_text(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"origin folder: the name {one_line(str(path))} is not UTF-8; rename it") from None
