"""What every export promises: the file is the model."""

from typing import Any, get_args

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import attached, fit, plugins, proof
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.sections import Choice
from graft.core.spec import Spec

TOLERANCE = {  # least agreement, largest probability difference
    "float32": (1.0, 1e-4),
    "float16": (1.0, 5e-3),
    "dynamic": (0.9, 0.1),
    "int8": (0.9, 0.3),
}
TEXTS = {attached.LABELS: "köln\nrose\ntulip\nwhin\n", attached.METADATA: '{"classes": 4}\n'}


def variants() -> list[Choice]:
    """Every precision that every export offers."""
    found = []
    for name in plugins.names("graft.exports"):
        options = plugins.resolve("graft.exports", Choice(name=name), "export").module.Options
        precisions = get_args(options.model_fields["precision"].annotation)
        found += [Choice(name=name, precision=precision) for precision in precisions]
    return found


@pytest.fixture(scope="module")
def model(spec: Spec, data: TrainData) -> Any:
    trained = fit.classifier(convnet.build(convnet.Options(width=8), spec, 5), 4, 5)
    fit.train(trained, data, Budget(60, 16, 3e-3, 2, 5))
    return trained


@pytest.mark.parametrize("choice", variants(), ids=lambda choice: f"{choice.name}-{choice.options['precision']}")
def test_the_file_answers_raw_pictures_like_keras(choice: Choice, model: Any, data: TrainData) -> None:
    chosen = plugins.resolve("graft.exports", choice, "export")
    bare = chosen.module.convert(chosen.options, model, data.train.images)
    files = chosen.module.attach(chosen.options, bare, TEXTS)
    answered = chosen.module.run(chosen.options, files)(data.validation.images)
    reference = fit.softmax(fit.predict(model, data.validation.images))
    seen = proof.compare(data.validation.labels, reference, answered)
    agreement, difference = TOLERANCE[choice.options["precision"]]
    assert seen.agreement >= agreement and seen.max_probability_difference <= difference
    np.testing.assert_allclose(answered.sum(axis=1), 1.0, atol=0.02)
    facts = chosen.module.describe(chosen.options, files)
    assert facts["builtin_operators_only"]
    assert facts["input"] == "1x32x32x3 uint8" and facts["output"] in ("1x4 float32", "1x4 uint8")
    assert all(attached.read(content) == TEXTS for content in files.values())
    assert all(files[name].startswith(content) and content for name, content in bare.items())
