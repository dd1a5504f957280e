"""The form of a run: what it becomes, and that the flow refuses what the pages would not have let pass."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from flows.form import KEEP, Form
from graft.core import plugins
from graft.core import settings as settings_file
from graft.core.errors import BadInput
from tasks.choices import Choices

PARAMS = Path(__file__).parents[2] / "params.yaml"
EMPTY: dict[str, Any] = {
    "target": "",
    "target_origin": KEEP,
    "target_uri": "",
    "source": "",
    "source_origin": KEEP,
    "source_uri": "",
    "labels_per_class": "",
    "method": KEEP,
    "seeds": 0,
    "at_end": "ask",
}


def assignments(**filled: Any) -> list[str]:
    return Form.of(EMPTY | filled).assignments()


def test_an_empty_form_changes_nothing() -> None:
    assert assignments() == []


def test_every_field_is_a_setting(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.read_text())
    filled: dict[str, Any] = {"target": "fungi", "target_origin": "folder", "target_uri": "/data/fungi"}
    filled |= {"source": "beasts", "source_origin": "s3", "source_uri": "s3://data/beasts"}
    filled |= {"labels_per_class": "all", "method": "linear_probe", "seeds": 7}
    settings_file.set_values(params, assignments(**filled), Choices.of)
    found = settings_file.load(params)
    assert (found.data.target.name, found.data.target.origin.options) == ("fungi", {"root": "/data/fungi"})
    assert (found.data.source.name, found.data.source.origin.options) == ("beasts", {"uri": "s3://data/beasts"})
    assert (found.finetune.labels_per_class, found.finetune.method.name) == ("all", "linear_probe")
    assert found.evaluate.seeds == tuple(range(7))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("target", "../x", "form.target is"),
        ("target", "a" * 65, "form.target is"),
        ("target_uri", "s3://x\n", "form.target_uri is"),
        ("labels_per_class", "many", "form.labels_per_class is"),
        ("labels_per_class", 5, "form.labels_per_class is 5"),
        ("seeds", -1, "form.seeds is -1"),
        ("seeds", True, "form.seeds is True"),
        ("at_end", "promote", "form.at_end is"),
        ("epochs", 10**9, "form.epochs: unknown key"),
    ],
)
def test_what_the_pages_would_not_let_pass_is_refused_by_name(field: str, value: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        Form.of(EMPTY | {field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("filled", "told"),
    [
        ({"target_uri": "s3://x/y"}, "form.target_uri is given without target_origin"),
        ({"method": "nonsense"}, "nonsense"),
        ({"target_origin": "os"}, "os"),
        ({"target_origin": "s3", "target_uri": "no uri"}, "uri"),
    ],
)
def test_what_no_plugin_is_called_is_refused_before_anything_runs(
    tmp_path: Path, filled: dict[str, str], told: str
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.read_text())
    with pytest.raises(BadInput, match=told):
        settings_file.set_values(params, assignments(**filled), Choices.of)
    assert params.read_text() == PARAMS.read_text()


def test_the_flows_signature_is_the_form_and_offers_what_there_is() -> None:
    from flows.retrain import retrain

    names = list(inspect.signature(retrain.fn).parameters)
    assert names == list(Form.model_fields)
    shown = retrain.parameters.properties
    assert shown["method"]["enum"] == [KEEP, *plugins.names("graft.methods")]
    assert shown["target_origin"]["enum"] == [KEEP, *plugins.names("tasks.origins")]
    assert shown["at_end"]["enum"] == ["ask", "promote if better", "never"]
    assert all(shown[name]["description"] for name in names)
