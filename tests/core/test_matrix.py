"""compare.yaml: what it leaves out is as params.yaml says, and what is wrong with it is said in a line."""

from pathlib import Path

import pytest

from graft.core import matrix, settings
from graft.core.errors import BadInput, UsageError
from graft.core.matrix import Matrix

ROOT = Path(__file__).parents[2]
TWO = "sources:\n  a: {origin: shapes}\n  b: {origin: {name: noise, classes: 3}}\n  ab: {mix: {a: 1, b: 3}}\nseeds: 2\n"
MANY = TWO.replace("seeds: 2", f"seeds: 100\nlabels_per_class: {list(range(1, 33))}\nmethods: [full, full, full]")


def load(tmp_path: Path, text: str) -> Matrix:
    (tmp_path / "compare.yaml").write_text(text)
    return matrix.load(tmp_path / "compare.yaml")


def test_the_one_that_comes_with_graft_compares_every_source_on_the_target_of_the_settings() -> None:
    said = settings.load(ROOT / "params.yaml")
    found = matrix.load(ROOT / "compare.yaml").filled(said)
    assert list(found.targets) == ["plants"] and found.methods == (said.finetune.method,)
    names = {"animals", "faces", "vehicles", "food", "tools", "everything_else", "digits", "shuffled", "noise"}
    assert names < set(found.sources)
    assert found.pairs() == [(name, "plants") for name in found.sources]


def test_a_domain_is_no_source_of_itself(tmp_path: Path) -> None:
    text = TWO + "targets:\n  a: {origin: shapes}\n  c: {origin: shapes}\nlabels_per_class: [5, all]\n"
    found = load(tmp_path, text)
    assert found.pairs() == [("b", "a"), ("ab", "a"), ("a", "c"), ("b", "c"), ("ab", "c")]
    assert found.trainings == 3 * 2 * 1 * 2 * 2


def test_some_of_it_can_be_named_and_the_parts_of_a_mix_come_along(tmp_path: Path) -> None:
    whole = load(tmp_path, TWO)
    some = whole.only(["ab"], [], [7])
    assert list(some.sources) == ["ab"] and some.labels_per_class == (7,)
    assert some.needed(whole) == ["a", "b"] and whole.only(["b"], [], []).needed(whole) == ["b"]
    with pytest.raises(UsageError, match="'c' is no source of compare.yaml; sources: a, b, ab"):
        whole.only(["c"], [], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: {a: {}}\nseeds: 3", "compare.yaml: sources.a is {}; it should have an origin, or a mix"),
        ("sources: {a: {origin: shapes, mix: {a: 1}}}\nseeds: 3", "should have an origin, or a mix of other sources"),
        ("sources: {a: {mix: {b: 1}}}\nseeds: 3", "should mix in a sources that have an origin .none here., not 'b'"),
        (TWO + "methods: [full]\nsteps: 3\n", "compare.yaml: steps: unknown key"),
        (TWO.replace("seeds: 2", "sedes: 2"), "compare.yaml: sedes: unknown key; did you mean seeds"),
        (TWO.replace("seeds: 2", "seeds: 0"), "compare.yaml: seeds is 0; it should be greater than or equal to 1"),
        (TWO.replace("a: 1", "a: -1"), "compare.yaml: sources.ab.mix.a is -1; it should be greater than 0"),
        (TWO + "labels_per_class: [5, 5]\n", "should name each number once"),
        (MANY, "compare.yaml asks for 28800 trainings; 10000 at most would do"),
        ("- a\n", "not a mapping"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_one_that_is_missing_is_told_where_to_find(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no compare.yaml in .*; a fresh clone has one"):
        matrix.load(tmp_path / "compare.yaml")


def test_targets_are_retrained_with_the_fields_of_the_form(tmp_path: Path) -> None:
    text = (
        TWO
        + "targets:\n  c: {origin: shapes}\n  d: {origin: 's3://bucket/d'}\n  e: {origin: {name: folder, root: /d}}\n"
    )
    found = load(tmp_path, text)
    assert found.retrained([]) == {
        "c": {"target": "c", "target_origin": "shapes"},
        "d": {"target": "d", "target_origin": "s3", "target_uri": "s3://bucket/d"},
        "e": {"target": "e", "target_origin": "folder", "target_uri": "/d"},
    }
    assert list(found.retrained(["d"])) == ["d"]
    with pytest.raises(UsageError, match="'x' is no target of compare.yaml; targets: c, d, e"):
        found.retrained(["x"])


def test_what_the_form_of_a_retraining_does_not_take_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="targets.c.origin has classes; a retraining takes an origin's name"):
        load(tmp_path, TWO + "targets:\n  c: {origin: {name: noise, classes: 3}}\n").retrained([])
    with pytest.raises(BadInput, match="compare.yaml names no targets; list them there"):
        load(tmp_path, TWO).retrained([])
