"""Answers averaged over views of a picture, in the net and in the file."""

from pathlib import Path

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, vary, views
from graft.core.spec import Spec
from graft.exports import tflite
from tasks.adapters import models
from tests.contracts.conftest import pictures

ASKED = pictures(2, 4, 3).images


@pytest.fixture(scope="module")
def net() -> object:
    return fit.classifier(convnet.build(convnet.Options(width=4), Spec(32), 1), 4, 1)


def test_the_answer_is_the_mean_over_picture_and_views(net: object) -> None:
    wide = np.pad(ASKED, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = [ASKED, ASKED[:, :, ::-1], wide[:, 2:-2, :-4], wide[:, 2:-2, 4:], wide[:, :-4, 2:-2], wide[:, 4:, 2:-2]]
    expected = np.mean([fit.predict(net, one) for one in seen], axis=0)
    averaged = views.averaged(net, vary.VIEWS)
    np.testing.assert_allclose(fit.predict(averaged, ASKED), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(fit.predict(net, ASKED), expected, atol=1e-3)


def test_without_views_it_is_the_model_itself(net: object) -> None:
    assert views.averaged(net, ()) is net


def test_the_file_and_the_export_answer_alike(net: object, tmp_path: Path) -> None:
    averaged = views.averaged(net, vary.VIEWS)
    models.save(averaged, tmp_path / "net.keras")
    loaded = models.load(tmp_path / "net.keras")
    expected = fit.predict(averaged, ASKED)
    np.testing.assert_allclose(fit.predict(loaded, ASKED), expected, rtol=1e-5, atol=1e-5)
    files = tflite.convert(tflite.Options(), loaded, ASKED)
    answers = tflite.run(tflite.Options(), files)(ASKED)
    np.testing.assert_allclose(answers, fit.softmax(expected), atol=1e-4)
    assert tflite.describe(tflite.Options(), files)["builtin_operators_only"]
