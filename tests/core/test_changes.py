"""What differs is told key by key, and what one of them lacks is a hyphen."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from graft.commands import show
from graft.core.changes import changes
from graft.hub.receipt import Published, Receipt
from tests.hub.little_release import draft


def test_nested_keys_are_dotted_and_equal_ones_left_out() -> None:
    old = {"a": {"same": 1, "other": 2, "gone": 3}, "z": [1]}
    assert changes(old, {"a": {"same": 1, "other": 5, "new": 4}, "z": [1]}) == [
        ("a.other", "2", "5"),
        ("a.gone", "3", "-"),
        ("a.new", "-", "4"),
    ]


def test_graft_diff_tells_settings_results_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipts = [
        Receipt(
            format="graft-release/1",
            version=f"v{seed}",
            published=Published(at=datetime(2026, 1, 1, tzinfo=UTC), by="ann"),
            replaces=None,
            contents=draft(tmp_path, seed, accuracy=0.5 + seed / 10)[0],
        )
        for seed in (1, 2)
    ]
    show.diff(*receipts)
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["plants@v1", "plants@v2"] in told
    assert ["settings:", "seed", "1", "2"] in told
    assert ["accuracy", "of", "the", "file", "60.0", "70.0"] in told
    assert not [line for line in told if line[0] in ("data:", "bytes:")]
