"""Tensors of a PyTorch checkpoint, read without PyTorch and without unpickling: no name in the file is ever called.

The format is the one that `torch.save` wrote before version 1.6: five pickles (a magic number, the format's version,
the writer's word sizes, the tensors' names and shapes, the order of their storages), then the numbers themselves. The
pickles are walked opcode by opcode; any opcode or name beyond those that a plain state dictionary needs is refused.
"""

import hashlib
import io
import math
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core.errors import BadInput

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
DTYPES: dict[str, np.dtype[Any]] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
DICTIONARY, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
MARK = object()


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path, sha256: str, max_bytes: int = 200_000_000) -> dict[str, NDArray[Any]]:
    """The state dictionary in `path`, an array per name, in the shapes that PyTorch gives them.

    Args:
        sha256: what the file must be; nothing of it is looked at before this is certain.

    Raises:
        BadInput: the file is too large, another one, or holds anything but plain float32 and int64 tensors.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise BadInput(f"{path.name} has {size} bytes; checkpoints here have at most {max_bytes}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BadInput(f"{path.name} has sha256 {found}; the file that is known here has {sha256}: install it again")
    try:
        return _tensors(io.BytesIO(content))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise BadInput(f"{path.name} is no PyTorch checkpoint of plain tensors: {error}") from None


def _tensors(stream: io.BytesIO) -> dict[str, NDArray[Any]]:
    magic, version, words = _walk(stream), _walk(stream), _walk(stream)
    if (magic, version, words["little_endian"]) != (MAGIC, VERSION, True):
        raise ValueError(f"it begins with {magic!r}, {version!r}")
    tensors, order = _walk(stream), _walk(stream)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers: dict[str, NDArray[Any]] = {}
    for key in order:
        storage = storages[key]
        size = int.from_bytes(stream.read(8), "little")
        if size != storage.size:
            raise ValueError(f"storage {key} has {size} numbers where {storage.size} were announced")
        numbers[key] = np.frombuffer(stream.read(size * storage.dtype.itemsize), storage.dtype, size)
    return {name: _view(tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _view(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """A copy of the numbers of one tensor; strides count numbers, not bytes, and may be in any order."""
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    sound = min(tensor.offset, *tensor.strides, 0) == 0 and min(tensor.shape, default=1) >= 1
    if not sound or max(last + 1, math.prod(tensor.shape)) > len(numbers):
        raise ValueError(f"a tensor of shape {tensor.shape} reaches outside its {len(numbers)} numbers")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides).copy()


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    """PyTorch adds whether it needs a gradient, and hooks."""
    return _Tensor(storage, offset, shape, strides)


def _walk(stream: io.BytesIO) -> Any:
    """What the pickle at the stream's position describes: dictionaries, lists, tuples, texts, numbers, tensors."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def marked() -> list[Any]:
        start = len(stack) - 1 - stack[::-1].index(MARK)
        items = stack[start + 1 :]
        del stack[start:]
        return items

    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                stack.append(MARK)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                n = int(opcode.name[-1])
                stack[-n:] = [tuple(stack[-n:])]
            case "APPEND" | "APPENDS":
                items = [stack.pop()] if opcode.name == "APPEND" else marked()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = marked()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                if argument not in (DICTIONARY, TENSOR, *DTYPES):
                    raise ValueError(f"it names {argument}")
                stack.append(argument)
            case "BINPERSID":
                _, kind, key, _, size, _ = stack.pop()
                stack.append(_Storage(key, DTYPES[kind], size))
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                if name not in (DICTIONARY, TENSOR):
                    raise ValueError(f"it calls {name}")
                stack.append(_tensor(*arguments) if name == TENSOR else dict(arguments))
            case "BUILD":  # the versions of the layers, which a state dictionary carries as an attribute
                stack.pop()
            case other:
                raise ValueError(f"its pickle uses {other}")
    return stack.pop()
