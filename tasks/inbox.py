"""The store's inbox: labelled pictures that came later, sent from a folder; the next retraining takes them.

Each lies at `inbox/<domain>/<class>/<md5 of its bytes>.<suffix>`: sent twice, or by two people, it is there once.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from graft.core.errors import BadInput, one_line
from graft.core.sections import Domain
from graft.hub import store as stores
from graft.hub.objects import Listed, Objects
from tasks import transfer
from tasks.adapters import manifest
from tasks.choices import INBOX, Choices
from tasks.origins._folder.listing import Entry, class_folders
from tasks.origins._folder.reading import read
from tasks.transfer import JOBS
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

MAX_FILE_BYTES = 32_000_000
SHOWN = 5
_KEPT = re.compile(r"[^\\\x00-\x1f\x7f]+")  # SeaweedFS takes a backslash for a slash, and XML has no controls


class Found(NamedTuple):
    """A picture in the folder: its name there, class, and what its bytes come to."""

    name: str
    label: str
    n_bytes: int
    md5: str
    sha256: str

    @property
    def key(self) -> str:
        """Below the inbox."""
        return f"{self.label}/{self.md5}{PurePosixPath(self.name).suffix.lower()}"


class Held(NamedTuple):
    """What the inbox has of a class."""

    label: str
    pictures: int
    n_bytes: int


def add(place: Workspace, choices: Choices, role: str, domain: Domain, folder: Path, new: bool, say: "Console") -> None:
    """Send the pictures of `folder/<class>/**` that are not there yet; all of them are looked at first.

    Args:
        new: classes that the data at hand do not have may come, too.

    Raises:
        BadInput: no run would take them; the folder has no class folder or an unknown one; a file is no picture that
            the pipeline would take, or is of another class already. Nothing was sent then.
        EnvironmentProblem: there is no store, or it does not answer. What was sent by then counts when this is
            done again.
    """
    if choices.inbox(role) is None:
        raise BadInput(
            f"data.{role}.inbox is false, and no run would take what is sent; say `inbox: true` in params.yaml, "
            "commit it, and type this again"
        )
    store = stores.known()
    stores.check(store)
    entries = list(class_folders(folder, fewest=1))
    for label in sorted({one.label for one in entries}):
        if not _KEPT.fullmatch(label):
            raise BadInput(f"class folder {one_line(label, 60)!r} has a character that no store keeps; rename it")
    rows = manifest.read(place.manifest, role) if place.manifest.exists() else []
    if rows and not new:
        _refuse_new_classes(domain, {row.label for row in rows}, {one.label for one in entries})
    pictures = _looked_at(folder, entries, choices.modality.module.measure)
    prefix = _prefix(domain)
    with closing(Objects(store, prefix)) as inbox:
        there = inbox.listed()
        _refuse_conflicts(pictures, {row.sha256: row.label for row in rows}, there)
        due = list({one.key: one for one in pictures if not _is_there(one, there)}.values())
        with transfer.meter("send", sum(one.n_bytes for one in due), say) as tell:
            transfer.spread(JOBS, due, lambda one: inbox.put(one.key, folder / one.name, one.md5, tell))
    classes = len({one.label for one in pictures})
    say.print(
        f"sent {len(due)} of {len(pictures)} pictures of {classes} {'class' if classes == 1 else 'classes'} to "
        f"s3://{store.bucket}/{prefix}; the others were there",
        highlight=False,
        markup=False,
    )


def held(domain: Domain) -> list[Held]:
    """What the inbox has, class by class.

    Raises:
        EnvironmentProblem: there is no store, or it does not answer.
    """
    with closing(Objects(stores.known(), _prefix(domain))) as inbox:
        listed = inbox.listed()
    pictures, n_bytes = Counter[str](), Counter[str]()
    for key, item in listed.items():
        label = key.partition("/")[0]
        pictures[label] += 1
        n_bytes[label] += item.n_bytes
    return [Held(label, pictures[label], n_bytes[label]) for label in sorted(pictures)]


def _prefix(domain: Domain) -> str:
    return f"{INBOX}/{domain.name}/"


def _refuse_new_classes(domain: Domain, known: set[str], labels: set[str]) -> None:
    if unknown := sorted(labels - known):
        raise BadInput(
            f"{one_line(unknown[0], 60)!r} is no class of {domain.name}; classes: "
            f"{one_line(', '.join(sorted(known)), 300)}; --new-classes lets it in"
        )


def _refuse_conflicts(pictures: list[Found], of_data: dict[str, str], there: dict[str, Listed]) -> None:
    """The gate would stop each run because of them, until somebody found out."""
    of_inbox = {item.md5: key.partition("/")[0] for key, item in there.items() if item.md5}
    first: dict[str, Found] = {}
    for one in pictures:
        other = first.setdefault(one.md5, one)
        known = of_data.get(one.sha256) or of_inbox.get(one.md5) or other.label
        if known != one.label:
            where = f", as {one_line(other.name, 200)} says" if other is not one else " already"
            raise BadInput(
                f"{one_line(one.name, 200)} is of class {one_line(known, 60)!r}{where}; one picture has one label, and "
                "nothing was sent"
            )


def _looked_at(folder: Path, entries: list[Entry], measure: Any) -> list[Found]:
    """Every picture, read and decoded once.

    Raises:
        BadInput: some would not be taken; the first few are named.
    """
    found, problems = [], []
    for entry in entries:
        data, problem = (b"", entry.problem) if entry.problem else read(folder, entry.name, MAX_FILE_BYTES)
        if problem := problem or measure(data).problem:
            problems.append(f"{one_line(entry.name, 200)}: {one_line(problem, 200)}")
        else:
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            found.append(Found(entry.name, entry.label, len(data), md5, hashlib.sha256(data).hexdigest()))
    if problems:
        raise BadInput("\n".join(_shown(problems, len(entries))))
    return found


def _shown(problems: list[str], n_files: int) -> Iterator[str]:
    yield from problems[:SHOWN]
    if len(problems) > SHOWN:
        yield f"... and {len(problems) - SHOWN} more"
    yield f"{len(problems)} of {n_files} files would not be taken, and nothing was sent; mend or remove them"


def _is_there(one: Found, there: dict[str, Listed]) -> bool:
    item = there.get(one.key)
    return item is not None and (item.md5 == one.md5 if item.md5 else item.n_bytes == one.n_bytes)
