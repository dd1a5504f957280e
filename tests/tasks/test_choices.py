"""What a choice needs is asked for before anything is done."""

import sys
from pathlib import Path

import pytest

from graft.core import settings as settings_file
from graft.core.errors import BadInput
from tasks.choices import Choices

ROOT = Path(__file__).parents[2]


def test_a_format_whose_packages_are_not_installed_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("onnx", "onnxruntime", "tf2onnx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "site-packages" not in one])
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(BadInput) as caught:
        settings_file.set_values(params, ["export.formats=[{name: onnx}]"], Choices.of)
    assert str(caught.value) == (
        "export.formats[0].name is onnx, which needs onnx, onnxruntime, tf2onnx; type: pip install 'graft[onnx]'"
    )
