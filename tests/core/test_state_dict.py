"""A PyTorch checkpoint is read as data: right in shape and order, and nothing in it is ever called."""

import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import state_dict
from graft.core.errors import BadInput

NUMBERS = np.arange(24, dtype=np.float32)


class Named:
    """Pickles as a call of a name with arguments, as PyTorch's tensors do."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name, self.arguments = name, arguments


class Kind:
    """Pickles as a name alone, as PyTorch's kinds of storage do."""

    def __init__(self, name: str) -> None:
        self.name = name


class Writer(pickle._Pickler):  # the one in Python: a name need not exist to be written
    def persistent_id(self, found: Any) -> Any:
        return found[1:] if isinstance(found, tuple) and found[:1] == ("persistent",) else None

    def save(self, found: Any, save_persistent_id: bool = True) -> None:
        if isinstance(found, Kind):
            self.write(pickle.GLOBAL + found.name.replace(" ", "\n").encode() + b"\n")
        elif isinstance(found, Named):
            self.save(Kind(found.name))
            self.save(found.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(found, save_persistent_id)


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, kind: str = "torch FloatStorage"
) -> Named:
    storage = ("persistent", "storage", Kind(kind), "7", "cpu", len(NUMBERS), None)
    return Named("torch._utils _rebuild_tensor_v2", storage, offset, shape, strides, False, OrderedDict)


def write(path: Path, tensors: Any, numbers: bytes = NUMBERS.tobytes()) -> str:
    """A checkpoint as PyTorch 1.5 wrote it; its sha256."""
    with path.open("wb") as stream:
        for part in (state_dict.MAGIC, state_dict.VERSION, {"little_endian": True}, tensors, ["7"]):
            Writer(stream, protocol=2).dump(part)
        stream.write(len(NUMBERS).to_bytes(8, "little") + numbers)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_shapes_strides_and_offsets_are_those_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    sha256 = write(path, {"plain": tensor((4, 6), (6, 1)), "turned": tensor((2, 3), (1, 6), 4)})
    found = state_dict.read(path, sha256)
    np.testing.assert_array_equal(found["plain"], NUMBERS.reshape(4, 6))
    np.testing.assert_array_equal(found["turned"], [[4, 10, 16], [5, 11, 17]])


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"a": Named("builtins exec", "open('touched', 'w')")}, "it names builtins exec"),
        ({"a": Named("torch FloatStorage", 9)}, "it calls torch FloatStorage"),
        ({"a": tensor((5, 6), (6, 1))}, "reaches outside its 24 numbers"),
        ({"a": tensor((2, 3), (-6, 1), 12)}, "reaches outside its 24 numbers"),
        ({"a": tensor((1000, 1000, 1000), (0, 0, 0))}, "reaches outside its 24 numbers"),
        ({"a": tensor((4, 6), (6, 1), kind="torch DoubleStorage")}, "it names torch DoubleStorage"),
        ({"a": 1.5}, "its pickle uses BINFLOAT"),
    ],
)
def test_what_is_no_plain_tensor_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sha256 = write(tmp_path / "a.pth", tensors)
    with pytest.raises(BadInput, match=f"a.pth is no PyTorch checkpoint of plain tensors: .*{told}"):
        state_dict.read(tmp_path / "a.pth", sha256)
    assert [one.name for one in tmp_path.iterdir()] == ["a.pth"]


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write(path, {"a": tensor((4, 6), (6, 1))})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BadInput, match="is no PyTorch checkpoint"):
            state_dict.read(path, hashlib.sha256(whole[:size]).hexdigest())


def test_another_file_or_a_large_one_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    sha256 = write(path, {"a": tensor((4, 6), (6, 1))})
    with pytest.raises(BadInput, match="a.pth has [0-9]+ bytes; checkpoints here have at most 100"):
        state_dict.read(path, sha256, max_bytes=100)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BadInput, match="a.pth has sha256 [0-9a-f]{64}; the file that is known here has"):
        state_dict.read(path, sha256)
