"""What every export promises: the file is the model."""

from typing import Any, get_args

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import attached, fit, plugins, proof
from graft.core.budget import Budget
from graft.core.errors import BadInput
from graft.core.extras import lacking
from graft.core.fit import TrainData
from graft.core.sections import Choice
from graft.core.spec import Spec
from graft.exports import tflite

TOLERANCE = {  # least agreement, largest probability difference
    "tflite-float32": (1.0, 1e-5),
    "tflite-float16": (1.0, 5e-3),
    "tflite-dynamic": (0.9, 0.1),
    "tflite-int8": (0.9, 0.3),
    "tflite-int4": (0.8, 0.7),
    "onnx-float32": (1.0, 1e-5),
    "onnx-int8": (0.9, 0.3),
    "saved_model-float32": (1.0, 1e-5),
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


def name(choice: Choice) -> str:
    return f"{choice.name}-{choice.options['precision']}"


@pytest.mark.parametrize("choice", variants(), ids=name)
def test_the_file_answers_raw_pictures_like_keras(choice: Choice, model: Any, data: TrainData) -> None:
    chosen = plugins.resolve("graft.exports", choice, "export")
    if hasattr(chosen.module, "needs") and (lack := lacking(chosen.module.needs(chosen.options))):
        pytest.skip(f"{name(choice)} {lack}")
    bare = chosen.module.convert(chosen.options, model, data.train.images)
    files = chosen.module.attach(chosen.options, bare, TEXTS)
    run, facts = chosen.module.run(chosen.options, files), chosen.module.describe(chosen.options, files)
    answered = run(data.validation.images)
    reference = fit.softmax(fit.predict(model, data.validation.images))
    seen = proof.compare(data.validation.labels, reference, answered)
    agreement, difference = TOLERANCE[name(choice)]
    assert seen.agreement >= agreement and seen.max_probability_difference <= difference
    np.testing.assert_allclose(answered.sum(axis=1), 1.0, atol=0.02)
    assert facts["builtin_operators_only"] and facts["format"] == choice.name
    assert facts["input"] == ("nx32x32x3 uint8" if facts["many"] else "1x32x32x3 uint8")
    assert facts["output"] in ("nx4 float32", "1x4 float32", "1x4 uint8")
    assert set(proof.same_answers(run, data.validation.images, answered, facts["many"]).values()) <= {True, None}
    assert chosen.module.texts(chosen.options, files) == TEXTS
    assert all(len(content) > len(bare[one]) > 0 for one, content in files.items())


def test_a_tflite_file_is_its_bare_self_with_a_zip_archive_behind(model: Any, data: TrainData) -> None:
    bare = tflite.convert(tflite.Options(), model, data.train.images)[tflite.file_name(tflite.Options())]
    [whole] = tflite.attach(tflite.Options(), {tflite.file_name(tflite.Options()): bare}, TEXTS).values()
    assert whole.startswith(bare) and attached.read(whole) == TEXTS


def test_what_no_built_in_operator_does_is_named(model: Any, data: TrainData) -> None:
    import keras

    picture = keras.Input((64, 64, 3))
    shrunk = keras.ops.image.resize(picture, (32, 32), antialias=True)
    with pytest.raises(BadInput, match="model-float32.tflite cannot be made of .* alone: ScaleAndTranslate has none"):
        tflite.convert(tflite.Options(), keras.Model(picture, model(shrunk)), data.train.images)


@pytest.mark.parametrize(("ends_at", "narrow"), [(6.0, False), (5.0, True)])
def test_values_at_the_end_of_a_relu6_are_not_taken_for_cut_off(ends_at: float, narrow: bool, data: TrainData) -> None:
    import keras

    keras.utils.set_random_seed(
        1
    )  # with some heads all pictures have nearly the same logits, at the end of their range
    picture = keras.Input((32, 32, 3))
    some = keras.initializers.RandomUniform(0.0, 0.1, seed=1)
    bright = keras.layers.ReLU(6.0)(keras.layers.Conv2D(4, 1, kernel_initializer=some)(picture))
    kept = keras.ops.minimum(bright, ends_at)
    logits = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(kept))
    options = tflite.Options(precision="int8")
    files = tflite.convert(options, keras.Model(picture, logits), data.train.images)
    assert bool(tflite.cut_off(options, files, data.train.images[:20])) == narrow
