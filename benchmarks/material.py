"""What benchmarks.transfer trains and asks on: the default data, and those that differ from them in one thing."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ingredients import Row
from graft.core.dataset import Split
from tasks.adapters import arrays
from tasks.workspace import Workspace

OTHER_DATA = {
    "everything": ["data.source.name=everything_else"],
    "other": ["data.target.origin={name: glyphs, compositor: other}"],
}
"""Settings of the workspaces beside the default one: a source of 817 classes; a target drawn by another compositor."""

SETS = {"seen": "test", "unseen": "unseen"}


@dataclass(frozen=True)
class Material:
    """Packed arrays by what a row says of its source and target."""

    workspace: Workspace

    @property
    def folder(self) -> Path:
        return self.workspace.private / "benchmarks" / "data"

    def prepare(self, row: Row) -> None:
        """Draw and pack what `row` needs beside the default data, unless that is done: a clone of its own each.

        Raises:
            subprocess.CalledProcessError: git or graft refused; what it said is on the terminal.
        """
        for name in {row.source, row.target} & OTHER_DATA.keys():
            if (self._other(name) / "features" / "classes.json").exists():
                continue
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._other(name).exists():
                clone = ["git", "clone", "--quiet", str(self.workspace.root), str(self._other(name))]
                subprocess.run(clone, check=True)
            settings = [word for setting in OTHER_DATA[name] for word in ("--set", setting)]
            graft = Path(sys.executable).parent / "graft"
            subprocess.run([str(graft), "run", "--until", "extract", *settings], cwd=self._other(name), check=True)

    def source(self, row: Row, split: str) -> Split:
        """Rows of the row's source: animals; the same with labels permuted; or animals and all other glyphs."""
        animals = self._read(self.workspace, "source", split)
        if row.source == "shuffled" and split == "train":
            return Split(animals.images, np.random.default_rng(0).permutation(animals.labels))
        if row.source == "everything":
            others = self._read(Workspace(self._other("everything")), "source", split)
            return _together([animals, others])
        return animals

    def target(self, row: Row, split: str) -> Split:
        home = self.workspace if row.target == "standard" else Workspace(self._other(row.target))
        return self._read(home, "target", split)

    def asked(self, row: Row, name: str) -> Split:
        """Test rows of a set; of the unseen styles those that no method sees without labels."""
        split = self.target(row, SETS[name])
        return split.take(_halves(len(split))[1]) if name == "unseen" else split

    def unlabelled(self, row: Row, drawn: NDArray[np.int64], seed: int) -> NDArray[np.uint8] | None:
        """Pictures without labels beside the rows that were `drawn` with theirs; None if the row has none.

        Balanced as the data are; or a class fewer the later it comes, down to a tenth; or half of the unseen styles.
        """
        train = self.target(row, "train")
        rest, generator = np.setdiff1d(np.arange(len(train)), drawn), np.random.default_rng(seed)
        if row.unlabelled == "rest":
            return np.asarray(train.images[rest])
        if row.unlabelled == "unbalanced":
            share = 0.1 ** (train.labels[rest] / max(1, train.labels.max()))
            return np.asarray(train.images[rest[generator.random(len(rest)) < share]])
        if row.unlabelled == "unseen":
            unseen = self.target(row, "unseen")
            return np.asarray(unseen.images[_halves(len(unseen))[0]])
        return None

    def _other(self, name: str) -> Path:
        return self.folder / name

    def _read(self, workspace: Workspace, role: str, split: str) -> Split:
        held_out = split in SETS.values()
        return arrays.read(workspace.held_out(role, split) if held_out else workspace.packed(role, split))


def _together(splits: Sequence[Split]) -> Split:
    """One split of all rows; each one's labels come after those of the ones before."""
    firsts = np.cumsum([0, *(int(split.labels.max()) + 1 for split in splits)])
    labels = [split.labels + first for split, first in zip(splits, firsts, strict=False)]
    return Split(np.concatenate([split.images for split in splits]), np.concatenate(labels))


def _halves(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices of the unseen styles: those that may serve without labels, those that are asked."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])
