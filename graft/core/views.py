"""Test-time augmentation: a classifier's answer averaged over views of the picture (Krizhevsky et al. 2012).

The views are layers of the net, so that what is measured is what the exported file does.
"""

from collections.abc import Sequence
from typing import Any

from graft.core.vary import View


def averaged(model: Any, views: Sequence[View]) -> Any:
    """A new model around the layers of `model`: its mean logits over the picture as it is and each of `views`.

    Args:
        model: classifier (see `fit.classifier`) with layers "backbone" and "head".

    Returns:
        keras.Model of the same input and output with the same weights; `model` itself if there are no views.
    """
    import keras

    if not views:
        return model
    inputs = keras.Input(model.input_shape[1:], dtype="float32")
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    seen = [head(backbone(one)) for one in (inputs, *(view(inputs) for view in views))]
    return keras.Model(inputs, keras.layers.Average(name="views")(seen), name=model.name)
