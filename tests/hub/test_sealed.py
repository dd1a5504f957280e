"""A sealed object tells of every byte that changed."""

import json

import pytest

from graft.core.errors import BadInput
from graft.hub import sealed

VALUE = {"name": "plants", "list": [1, 2.5, None], "deep": {"text": "Grüße"}}


def test_what_was_sealed_comes_back() -> None:
    assert sealed.unseal(sealed.seal(VALUE), "x") == VALUE


def test_every_flipped_bit_every_cut_and_every_added_byte_is_found() -> None:
    data = sealed.seal(VALUE)
    changed = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]
    changed += [data[:at] for at in range(len(data))] + [data + b"\n", b" " + data]
    for one in changed:
        with pytest.raises(BadInput, match="^plants.json is altered: "):
            sealed.unseal(one, "plants.json")


def test_another_spelling_of_the_same_is_found() -> None:
    spelt = json.dumps(json.loads(sealed.seal(VALUE))).encode()
    with pytest.raises(BadInput, match="altered"):
        sealed.unseal(spelt, "x")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"a": NaN}', b"\xff\xfe"])
def test_what_was_never_sealed_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="altered"):
        sealed.unseal(data, "x")
