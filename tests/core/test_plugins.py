"""Plug-ins: found by file name, refused by name, options checked by the module itself."""

import pytest

from graft.core import plugins
from graft.core.errors import BadInput
from graft.core.sections import Choice

PACKAGES = [
    "graft.backbones",
    "graft.objectives",
    "graft.methods",
    "graft.modalities",
    "graft.exports",
    "tasks.origins",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_helpers_are_not_plug_ins(package: str) -> None:
    found = plugins.names(package)
    assert found == sorted(found) and found
    assert not [name for name in found if name.startswith("_")]


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(BadInput) as caught:
        plugins.resolve("graft.methods", Choice(name="ful"), "finetune.method")
    told = str(caught.value)
    assert told.startswith("finetune.method.name is 'ful'; methods here: ")
    assert all(name in told for name in plugins.names("graft.methods"))
    assert "did you mean full?" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"wdth": 8}, "pretrain.backbone.wdth: unknown key; did you mean width?"),
        ({"width": 1}, "pretrain.backbone.width is 1"),
        ({"width": "8"}, "pretrain.backbone.width is '8'"),
    ],
)
def test_a_wrong_option_is_named_with_its_key(options: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told.replace("?", r"\?")):
        plugins.resolve("graft.backbones", Choice(name="convnet", **options), "pretrain.backbone")


def test_options_reach_the_module() -> None:
    chosen = plugins.resolve("graft.backbones", Choice(name="convnet", width=8), "pretrain.backbone")
    assert chosen.options.width == 8
