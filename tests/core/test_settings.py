"""Settings: what is wrong is named, and nothing is written unless it is right."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from pydantic import ValidationError

from graft.core import settings
from graft.core.errors import BadInput, UsageError

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(PARAMS, tmp_path / "params.yaml"))


def fine(_: settings.Settings) -> None:
    """No further check."""


def replaced(params: Path, before: str, after: str) -> Path:
    text = params.read_text()
    assert before in text
    params.write_text(text.replace(before, after, 1))
    return params


def test_the_shipped_file_is_valid(params: Path) -> None:
    loaded = settings.load(params)
    assert loaded.evaluate.seeds == (0, 1, 2)
    assert loaded.finetune.per_class == 10
    assert [one.options["precision"] for one in loaded.export.formats] == ["float32", "float16", "dynamic", "int8"]
    assert [one.min_agreement for one in loaded.export.formats] == [None, None, None, 0.98]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("  steps: 400", "  stepz: 400", "finetune.stepz: unknown key; did you mean steps?"),
        ("seed: 7", "seed: 7\nsurplus: 1", "surplus: unknown key"),
        ("seed: 7", "", "seed: missing"),
        ("  steps: 400", "  steps: 0", "finetune.steps is 0; it should be greater than or equal to 1"),
        ("  steps: 400", '  steps: "400"', "finetune.steps is '400'"),
        ("  steps: 400", "  steps: true", "finetune.steps is True"),
        ("labels_per_class: 10", "labels_per_class: -3", "finetune.labels_per_class is -3"),
        ("labels_per_class: 10", "labels_per_class: some", "finetune.labels_per_class is 'some'"),
        ("max_aspect: 8.0", "max_aspect: .nan", "validate.max_aspect is nan"),
        ("[0.003, 0.006]", "[0.003, 7]", "finetune.learning_rates.1 is 7"),
        ("[0.003, 0.006]", '["1e-3"]', "finetune.learning_rates.0 is '1e-3'; it should be a valid number"),
        ("[0.003, 0.006]", "[]", "finetune.learning_rates is (); it should have at least 1 item"),
        ("  steps: 400", "  steps: 400.5", "finetune.steps is 400.5"),
        ("max_aspect: 8.0", "max_aspect: .inf", "validate.max_aspect is inf; it should be a finite number"),
        ("smaller: []", "smaller: [{share: 0.5}]", "finetune.smaller.0.name: missing"),
        ("smaller: []", "smaller: [pruned, pruned]", "it should have other options in each variant of one method"),
        ("seeds: 3", "seeds: 0", "evaluate.seeds is 0"),
        ("seeds: 3", "seeds: [1, 1]", "evaluate.seeds is [1, 1]"),
        ("seeds: 3", "seeds: true", "evaluate.seeds is True"),
        ("seeds: 3", "seeds: 101", "evaluate.seeds is 101; it should be 1 to 100 seeds, or a list of seeds"),
        ("seeds: 3", "seeds: [-1]", "evaluate.seeds.0 is -1"),
        (
            "{validation: 0.1, test: 0.2}",
            "{validation: 0.1, tset: 0.2}",
            "data.split.tset: unknown key; did you mean test?",
        ),
        ("name: animals", "name: ../etc", "data.source.name is '../etc'"),
        ("{name: convnet}", "{name: ../../x}", "pretrain.backbone.name is '../../x'; it should match"),
        ("{name: convnet}", '{name: "convnet\\n"}', r"pretrain.backbone.name is 'convnet\n'; it should match"),
        ("{name: convnet}", "{width: 8}", "pretrain.backbone.name: missing"),
        ("seed: 7", "seed: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("seed: 7", "seed: *nowhere", "not valid YAML"),
        ("seed: 7", "seed: 7\nseed: 8", "not valid YAML"),
        ("seed: 7", "seed: [", "not valid YAML"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(params: Path, before: str, after: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        settings.load(replaced(params, before, after))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


UNUSABLE = {
    "empty or not a mapping": b"",
    "is empty or not": b"- a\n- b\n",
    "line 1: not valid YAML": b"seed: ]\n",
    "line 2: not valid YAML: found duplicate key": b"seed: 1\nseed: 2\n",
    "is not UTF-8 text": b"seed: \xff\n",
    "settings take at most": b"# " + b"x" * settings.MAX_SETTINGS_BYTES,
}


@pytest.mark.parametrize("told", UNUSABLE)
def test_a_file_of_no_use_is_refused_whether_read_or_changed(tmp_path: Path, told: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(UNUSABLE[told])
    for attempt in (lambda: settings.load(file), lambda: settings.set_values(file, ["seed=3"], fine)):
        with pytest.raises(BadInput, match=told) as caught:
            attempt()
        assert str(caught.value).startswith("params.yaml") and "\n" not in str(caught.value)
    assert file.read_bytes() == UNUSABLE[told]


def test_a_missing_file_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no params.yaml in .*; run graft inside a graft checkout"):
        settings.load(tmp_path / "params.yaml")


def test_settings_cannot_be_changed_in_the_program(params: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings.load(params).finetune.steps = 3  # type: ignore[misc]


def test_a_bare_name_is_a_choice(params: Path) -> None:
    assert settings.load(replaced(params, "{name: full}", "full")).finetune.method.name == "full"


def test_a_variant_is_called_like_its_method_and_a_second_one_of_the_same_has_a_number(params: Path) -> None:
    said = "[quantized, {name: pruned, share: 0.5}, {name: pruned, share: 0.75}]"
    variants = settings.load(replaced(params, "smaller: []", f"smaller: {said}")).finetune.variants
    assert list(variants) == ["quantized", "pruned", "pruned-2"]
    assert variants["pruned-2"].options == {"share": 0.75}
    assert settings.load(PARAMS).finetune.variants == {}


def test_a_uri_is_a_choice_and_is_spelt_out_where_it_is_set(params: Path) -> None:
    told = settings.set_values(params, ["data.target.origin=s3://bucket/flowers"], fine)
    assert told == ["data.target.origin: {'name': 'glyphs'} -> 's3://bucket/flowers'"]
    origin = settings.load(params).data.target.origin
    assert (origin.name, origin.options) == ("s3", {"uri": "s3://bucket/flowers"})
    assert "name: s3" in params.read_text()  # dvc.yaml asks for it


def test_a_bare_name_in_the_file_is_spelt_out_by_the_next_command(params: Path) -> None:
    replaced(params, "{name: full}", "full")
    assert settings.set_values(params, [], fine) == []
    assert "name: full" in params.read_text()


def test_setting_a_value_keeps_comments_and_tells_the_change(params: Path) -> None:
    told = settings.set_values(params, ["finetune.labels_per_class=all", "evaluate.seeds=[4, 5]"], fine)
    assert told == ["finetune.labels_per_class: 10 -> 'all'", "evaluate.seeds: 3 -> [4, 5]"]
    loaded = settings.load(params)
    assert loaded.finetune.per_class is None and loaded.evaluate.seeds == (4, 5)
    assert "# a number, or all" in params.read_text()


def test_setting_a_value_touches_its_own_line_alone(params: Path) -> None:
    before = params.read_text().splitlines()
    settings.set_values(params, ["pretrain.epochs=9"], fine)
    after = params.read_text().splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [("  epochs: 6", "  epochs: 9")]
    assert [one.name for one in params.parent.iterdir()] == ["params.yaml"]


def test_an_option_joins_a_bare_name(params: Path) -> None:
    replaced(params, "{name: full}", "full")
    settings.set_values(params, ["finetune.method.l2=2.0"], fine)
    method = settings.load(params).finetune.method
    assert (method.name, method.options) == ("full", {"l2": 2.0})


def test_setting_the_same_value_changes_nothing(params: Path) -> None:
    before = params.read_bytes()
    assert settings.set_values(params, ["finetune.steps=400"], fine) == []
    assert params.read_bytes() == before


@pytest.mark.parametrize(
    ("assignment", "error"),
    [
        ("finetune.steps=0", BadInput),
        ("finetune.stepz=3", BadInput),
        ("nowhere.at.all=3", BadInput),
        ("seed.below=3", BadInput),
        ("finetune.steps=", BadInput),
        ("finetune.method.name=../x", BadInput),
        ("export.formats.0.precision=int8", BadInput),
        ("finetune.steps", UsageError),
        ("=3", UsageError),
        ("finetune.steps=[", UsageError),
        ('data.target.name="a\nseed: 9"', BadInput),
    ],
)
def test_a_refused_assignment_writes_nothing(params: Path, assignment: str, error: type[Exception]) -> None:
    before = params.read_bytes()
    with pytest.raises(error):
        settings.set_values(params, ["seed=11", assignment], fine)
    assert params.read_bytes() == before
    assert [one.name for one in params.parent.iterdir()] == ["params.yaml"]


def test_what_the_caller_refuses_is_not_written(params: Path) -> None:
    before = params.read_bytes()

    def refuse(_: settings.Settings) -> None:
        raise BadInput("no such plug-in")

    with pytest.raises(BadInput, match="no such plug-in"):
        settings.set_values(params, ["seed=11"], refuse)
    assert params.read_bytes() == before


def test_another_plug_in_drops_the_options_of_the_old_one(params: Path) -> None:
    settings.set_values(params, ["finetune.method={name: full, l2: 2.0}"], fine)
    told = settings.set_values(params, ["finetune.method.name=linear_probe"], fine)
    assert told == ["finetune.method.name: 'full' -> 'linear_probe' (and drops l2)"]
    assert settings.load(params).finetune.method.options == {}


def test_a_whole_origin_can_be_set_at_once(params: Path) -> None:
    settings.set_values(params, ["data.target.origin={name: folder, root: /somewhere}"], fine)
    assert settings.load(params).data.target.origin.options == {"root": "/somewhere"}


@pytest.mark.parametrize("said", ["s3://bucket/flowers", "'s3://bucket/flowers'", '"s3://bucket/flowers"'])
def test_a_uri_within_a_mapping_is_written_so_that_dvc_can_read_it(params: Path, said: str) -> None:
    for _ in range(2):
        told = settings.set_values(params, [f"data.target.origin={{name: s3, uri: {said}}}"], fine)
    assert told == []
    assert load_yaml(str(params))["data"]["target"]["origin"] == {"name": "s3", "uri": "s3://bucket/flowers"}
    assert settings.load(params).data.target.origin.options == {"uri": "s3://bucket/flowers"}


def test_a_file_that_dvc_cannot_read_is_refused_with_its_line(params: Path) -> None:
    (line,) = (n for n, text in enumerate(params.read_text().splitlines(), start=1) if "name: animals" in text)
    replaced(params, "origin: {name: glyphs}", "origin: {name: s3, uri: s3://bucket/flowers}")
    told = f"^params.yaml, line {line + 1}: DVC cannot read it: found unexpected ':'; put the value in quotes$"
    with pytest.raises(BadInput, match=told):
        settings.load(params)
    replaced(params, "uri: s3://bucket/flowers", "uri: 's3://bucket/flowers'")
    assert settings.load(params).data.source.origin.options == {"uri": "s3://bucket/flowers"}
