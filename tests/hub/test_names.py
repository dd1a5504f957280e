"""Names from a stranger never become a key or a path: they are refused before anything is asked or written."""

import json
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.hub import names
from graft.hub.bucket import Bucket
from graft.hub.names import Reference
from tests.hub import child
from tests.relay import relay

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "/",
    "//",
    "/etc/passwd",
    "../models",
    "a/../b",
    "a/b",
    "a\\b",
    "..\\a",
    "a..b",
    ".a",
    "a.",
    "-a",
    "a-",
    "~",
    "~root",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\tb",
    "a\0b",
    "a\x1b[31m",
    "a\u202eb",  # turns what follows around
    "a\u200bb",  # no width
    "\u0430bc",  # Cyrillic a
    "pl\u0430nts",
    "\uff41bc",  # full-width a
    "\u00e4pfel",
    "e\u0301",
    "\u2024\u2024",  # look like two full stops
    "\u2215etc",  # looks like a slash
    "v\u0661",  # an Arabic one
    "a%2f..",
    "a?versionId=1",
    "a*",
    "$(id)",
    "Plants",
    "con",
    "nul.txt",
    "x" * 65,
    "x" * 300,
    "\u00e4" * 150,
    "\ud800",  # half of a pair, as an undecodable argument is read
]
ALSO_NO_STAGE = ["1prod", "prod.", "a_b", "v1", "v999", "x" * 33]
ALSO_NO_VERSION = ["v0", "v01", "v", "V1", "1", "v-1", "v1.0", "v1 ", "v1234567890", "latest", "v" + "1" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str) -> None:
    for check in (names.model, names.stage, names.version):
        with pytest.raises(BadInput) as caught:
            check(name)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    for text in (f"{name}@v1", f"{name}@prod", f"plants@{name}", name):
        with pytest.raises(BadInput) as caught:
            names.reference(text)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ALSO_NO_STAGE)
def test_a_stage_is_stricter_than_a_model(name: str) -> None:
    with pytest.raises(BadInput):
        names.stage(name)


@pytest.mark.parametrize("name", ALSO_NO_VERSION)
def test_versions_have_one_spelling(name: str) -> None:
    with pytest.raises(BadInput):
        names.version(name)


def test_good_names_pass() -> None:
    for name in ("a", "0", "plants", "plants-2", "leaf_v1.2", "x" * 64):
        assert names.reference(f"{name}@v3") == Reference(name, version="v3")
    for stage in ("a", "prod", "canary-2", "x" * 32):
        assert names.reference(f"plants@{stage}") == Reference("plants", stage=stage)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a..b", "-a", "a\0", "CON", "nul.txt", "x" * 128, "ä"]
)
def test_names_that_no_file_of_a_release_may_have(name: str) -> None:
    assert not names.is_file(name)


def commands(name: str) -> list[list[str]]:
    """Every place of a command line where a model, version or stage is named."""
    return [
        ["pull", f"{name}@v1"],
        ["pull", f"plants@{name}", "-o", "pulled"],
        ["predict", f"{name}@prod", "picture.png"],
        ["predict", f"plants@{name}", "picture.png"],
        ["show", f"{name}@v1"],
        ["diff", "plants@v1", f"plants@{name}"],
        ["diff", f"{name}@v1", "plants@v1"],
        ["promote", f"{name}@v1", "prod"],
        ["promote", f"plants@{name}", "prod"],
        ["promote", "plants@v1", "--", name],
        ["rollback", "--", name],
        ["rollback", "plants", f"--stage={name}"],
        ["rollback", "plants", f"--to={name}"],
        ["history", "--", name],
        ["history", "plants", f"--stage={name}"],
        ["live", "--", name],
        ["live", "plants", f"--stage={name}"],
        ["publish", "--", name],
        ["publish", "plants", f"--version={name}"],
    ]


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.sweep)])
def test_every_command_refuses_them_before_anything_is_asked_or_written(
    bucket: Bucket, tmp_path: Path, step: int
) -> None:
    lines = [line for name in HOSTILE if name for line in commands(name)][::step]
    with relay(bucket.store.endpoint) as between:
        done = child.run(ROOT, "lines", json.dumps(lines), AWS_ENDPOINT_URL_S3=between.endpoint)
        for line, (code, told) in zip(lines, json.loads(done.done()), strict=True):
            assert code in (1, 2), (line, code, told)
            assert "Traceback" not in told and told.startswith(("graft: ", "Usage: ")), (line, told)
        assert between.asked == []
    assert bucket.keys("") == []
    assert not (tmp_path / "cache").exists() and not (ROOT / "pulled").exists()
