"""What a choice needs is asked for before anything is done."""

import sys
from pathlib import Path

import pytest

from graft.core import settings as settings_file
from graft.core.errors import BadInput
from tasks.choices import Choices

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("full", "finetune.smaller[0].name is 'full', whose net is no smaller; distill, pruned, quantized would do"),
        ("prune", "finetune.smaller[0].name is 'prune'; methods here: "),
        ("{name: pruned, shar: 0.5}", "finetune.smaller[0].shar: unknown key; did you mean share?"),
        ("{name: pruned, share: 1.0}", "finetune.smaller[0].share is 1.0; it should be less than or equal to 0.95"),
    ],
)
def test_a_variant_that_cannot_be_made_is_refused_before_anything_runs(said: str, told: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(BadInput) as caught:
        settings_file.set_values(params, [f"finetune.smaller=[{said}]"], Choices.of)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert params.read_text() == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("said", "what", "modules", "extra"),
    [
        ("{name: onnx}", "onnx of precision float32", "onnx, onnxruntime, tf2onnx", "onnx"),
        ("{name: tflite, precision: int4}", "tflite of precision int4", "ai_edge_quantizer", "int4"),
    ],
    ids=["onnx", "int4"],
)
def test_a_format_whose_packages_are_not_installed_is_refused_at_once(
    said: str, what: str, modules: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in modules.split(", "):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "site-packages" not in one])
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(BadInput) as caught:
        settings_file.set_values(params, [f"export.formats=[{said}]"], Choices.of)
    assert str(caught.value) == (
        f"export.formats[0] is {what}, which needs {modules}; type: pip install 'graft[{extra}]'"
    )
