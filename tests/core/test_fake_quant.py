"""The twin that rounds errs as the integer file does, and its kernels are those that the file holds."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet, efficientnet_lite0
from graft.core import fake_quant, fit, litert
from graft.core.fake_quant_layers import kinds
from graft.core.layers import parts
from graft.core.spec import Spec
from graft.exports import tflite

PICTURES = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)


@pytest.fixture
def net() -> Any:
    """With statistics of these pictures."""
    made = fit.classifier(convnet.build(convnet.Options(width=8), Spec(size_px=32), 1), 4, 1)
    for _ in range(20):
        made(PICTURES.astype(np.float32), training=True)
    return made


def twin_of(net: Any, bits: int = 8) -> Any:
    """With ranges of these pictures."""
    twin = fake_quant.twin(net, bits)
    fake_quant.forget(twin)
    twin(PICTURES.astype(np.float32), training=True)
    return twin


def test_it_is_off_by_as_much_as_the_integer_file(net: Any) -> None:
    head, options = net.get_layer("head"), tflite.Options(precision="int8")
    head.kernel.assign(20.0 * head.kernel)  # a file tells probabilities in steps of 1/256 only
    twin, exact = twin_of(net), fit.softmax(fit.predict(net, PICTURES))
    file = tflite.run(options, tflite.convert(options, net, PICTURES))(PICTURES)
    ours = np.abs(fit.softmax(fit.predict(twin, PICTURES)) - exact).mean()
    assert 0.5 < ours / np.abs(file - exact).mean() < 2.0


@pytest.mark.parametrize("bits", [4, 8])
def test_settled_kernels_are_what_they_are_rounded_to(net: Any, bits: int) -> None:
    before, twin = net.get_weights(), twin_of(net, bits)
    rounded = fit.predict(twin, PICTURES)
    fake_quant.settle(twin)
    settled = net.get_weights()
    assert any(np.abs(old - new).max() > 1e-4 for old, new in zip(before, settled, strict=True))
    np.testing.assert_allclose(fit.predict(twin, PICTURES), rounded, atol=0.1)  # an activation may cross a step
    fake_quant.settle(twin)
    for once, twice in zip(settled, net.get_weights(), strict=True):
        np.testing.assert_allclose(twice, once, rtol=1e-4, atol=1e-6)


def test_the_file_holds_settled_kernels_as_they_are(net: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    fake_quant.settle(twin_of(net))
    kernel = np.asarray(net.get_layer("head").kernel)
    options = tflite.Options(precision="int8")
    [content] = tflite.convert(options, net, PICTURES).values()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    [(detail, held)] = [
        (one, interpreter.get_tensor(one["index"]))
        for one in interpreter.get_tensor_details()
        if tuple(one["shape"]) == kernel.shape[::-1] and one["dtype"] is np.int8
    ]
    scales = detail["quantization_parameters"]["scales"]
    np.testing.assert_allclose(held * scales.reshape(-1, 1), kernel.T, rtol=1e-4, atol=1e-6)
    assert litert.steps(detail)[1] == 0


def test_what_a_converter_folds_is_folded_and_what_it_fuses_is_rounded_once() -> None:
    spec = Spec(size_px=32)
    net = efficientnet_lite0.build(efficientnet_lite0.Options(pretrained=False, input_px=32), spec, 0)
    twin = fake_quant.twin(net, 8)
    folded = [one for one in parts(twin) if isinstance(one, kinds().folded)]
    convolutions = [one for one in parts(net) if type(one).__name__ in ("Conv2D", "DepthwiseConv2D")]
    assert len(folded) == len(convolutions) and all(one.norm is not None for one in folded)
    assert not [one for one in parts(twin) if isinstance(one, kinds().scaled)]
    additions = [one for one in parts(net) if type(one).__name__ == "Add"]
    rounded = [one for one in parts(twin) if isinstance(one, kinds().rounded)]
    assert len(rounded) == len(convolutions) + len(additions) + 2  # the rescaling and the pooling
