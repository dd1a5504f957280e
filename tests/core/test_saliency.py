"""Maps of nets whose decision is known, and of every net that graft builds."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import article, convnet, efficientnet_lite0, keras_applications
from graft.core import fit, saliency, vary, views
from graft.core.spec import Spec
from tests.contracts.conftest import pictures

IMAGES = pictures(6, 4, 3).images
CLASSES = np.array([0, 1, 2, 3, 0, 1])
RANDOM = np.random.default_rng(0)
BACKBONES = {
    "convnet": (convnet, convnet.Options(width=4)),
    "article": (article, article.Options()),
    "efficientnet_lite0": (efficientnet_lite0, efficientnet_lite0.Options(pretrained=False, input_px=32)),
    "keras_applications": (keras_applications, keras_applications.Options(weights="none", input_px=32)),
}


def linear(kernel: np.ndarray) -> Any:
    """A net whose two features are sums over a picture's pixels, weighted by `kernel` (16, 16, 3, 2)."""
    import keras

    inputs = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    features = keras.layers.Dense(2, use_bias=False, name="sums")
    backbone = keras.Model(inputs, features(flat), name="backbone")
    features.set_weights([kernel.reshape(-1, 2).astype(np.float32)])
    model = fit.classifier(backbone, 2, 0)
    model.get_layer("head").set_weights([np.eye(2, dtype=np.float32), np.zeros(2, np.float32)])
    return model


def built(name: str) -> Any:
    module, options = BACKBONES[name]
    return fit.classifier(module.build(options, Spec(32), 1), 4, 1)


@pytest.mark.parametrize("quadrant", range(4))
def test_a_net_that_reads_one_quadrant_lights_no_other(quadrant: int) -> None:
    kernel = np.zeros((16, 16, 3, 2))
    rows, columns = (
        slice(8 * (quadrant // 2), 8 * (quadrant // 2) + 8),
        slice(8 * (quadrant % 2), 8 * (quadrant % 2) + 8),
    )
    kernel[rows, columns, :, 0] = RANDOM.uniform(0.1, 1.0, (8, 8, 3))
    images = RANDOM.integers(1, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = saliency.maps(linear(kernel), images, np.zeros(3, np.int64))
    assert np.all(found[:, rows, columns] > 0)
    found[:, rows, columns] = 0
    assert not found.any()


def test_the_map_of_a_linear_net_is_its_terms() -> None:
    kernel = RANDOM.normal(size=(16, 16, 3, 2))
    images = RANDOM.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    classes = np.array([0, 1, 0, 1])
    difference = kernel[..., 0] - kernel[..., 1]  # of two classes, the log-odds is the difference of their logits
    terms = np.einsum("nhwc,hwc,n->nhw", images / 255, difference, 1 - 2 * classes)
    expected = np.maximum(terms, 0) / terms.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(saliency.maps(linear(kernel), images, classes), expected, atol=1e-5)


def test_a_map_averaged_before_a_linear_head_is_a_class_activation_map() -> None:
    model = built("convnet")
    head = model.get_layer("head")
    early, _ = saliency.layers.mapped(model.get_layer("backbone"), 2)
    activations, probabilities = fit.predict(early, IMAGES), fit.softmax(fit.predict(model, IMAGES))
    rivals = probabilities.copy()
    rivals[np.arange(6), CLASSES] = 0
    weights = np.eye(4)[CLASSES] - rivals / rivals.sum(axis=1, keepdims=True)
    terms = np.maximum(np.einsum("nhwc,ck,nk->nhw", activations, head.get_weights()[0], weights), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saliency, "EDGE", 2)
        found = saliency.maps(model, IMAGES, CLASSES)
    assert activations.shape[1:3] == (2, 2)
    corners = found[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # resized, a corner is the place in it
    flat = terms.reshape(6, 4)
    tops = flat.max(axis=1, keepdims=True)
    assert np.any(tops > 0)
    np.testing.assert_allclose(corners, flat / np.where(tops > 0, tops, 1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_maps_that_depend_on_picture_and_class_alone(name: str) -> None:
    model = built(name)
    found = saliency.maps(model, IMAGES, CLASSES)
    assert found.shape == (6, 32, 32) and found.dtype == np.float32
    assert found.min() >= 0 and np.all(np.isin(found.max(axis=(1, 2)), (0, 1))) and found.any()
    np.testing.assert_array_equal(found, saliency.maps(model, IMAGES, CLASSES))
    alone = [saliency.maps(model, IMAGES[row : row + 1], CLASSES[row : row + 1])[0] for row in range(6)]
    np.testing.assert_allclose(found, alone, atol=2e-3)
    assert not np.allclose(found, saliency.maps(model, IMAGES, (CLASSES + 1) % 4), atol=0.05)


def test_no_picture_has_no_map() -> None:
    assert saliency.maps(built("convnet"), IMAGES[:0], CLASSES[:0]).shape == (0, 32, 32)


def test_what_changes_no_answer_changes_no_map() -> None:
    model = built("convnet")
    before = saliency.maps(model, IMAGES, CLASSES)
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel + RANDOM.normal(size=(len(kernel), 1)), bias])
    np.testing.assert_allclose(saliency.maps(model, IMAGES, CLASSES), before, atol=1e-3)


def test_many_pictures_are_as_good_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("convnet")
    whole = saliency.maps(model, IMAGES, CLASSES)
    monkeypatch.setattr(saliency, "AT_ONCE", 4)
    np.testing.assert_allclose(saliency.maps(model, IMAGES, CLASSES), whole, atol=2e-3)


def test_a_mirrored_view_is_turned_back() -> None:
    """A net that reads the left alone, asked about both ways to see a picture, reads both sides of it."""
    kernel = np.zeros((16, 16, 3, 2))
    kernel[:8, :8, :, 0] = RANDOM.uniform(0.1, 1.0, (8, 8, 3))
    images = np.full((1, 16, 16, 3), 200, np.uint8)
    chosen = (vary.mirrored,)
    averaged = views.averaged(linear(kernel), chosen)
    (found,) = saliency.maps(averaged, images, np.zeros(1, np.int64), chosen)
    np.testing.assert_allclose(found, found[:, ::-1], atol=1e-6)
    assert np.all(found[:8] > 0) and not found[8:].any()


def test_a_shifted_view_is_moved_back() -> None:
    kernel = np.zeros((16, 16, 3, 2))
    kernel[4, 4, :, 0] = 1.0
    images = np.full((1, 16, 16, 3), 200, np.uint8)
    chosen = (vary.shifted(1, 0), vary.shifted(0, 1))  # the picture moves down, or right, by one pixel
    (found,) = saliency.maps(views.averaged(linear(kernel), chosen), images, np.zeros(1, np.int64), chosen)
    assert np.argwhere(found > 0.5).tolist() == [[3, 4], [4, 3], [4, 4]]
