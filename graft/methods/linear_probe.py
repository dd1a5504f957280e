"""Keep the backbone as it is and learn a linear head on its features (Alain & Bengio 2017)."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from graft.core import features as frozen
from graft.core import fit, folds, probe
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData

FREEZES_BACKBONE = True
TRIED = tuple(float(10.0**power) for power in range(-3, 5))
FOLDS = 5


class Options(BaseModel):
    """Strength of the penalty on the head's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    l2: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] = Field(
        default=1.0, description="inverse of scikit-learn's C; auto: by cross-validation on training rows"
    )


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Put the head that logistic regression finds on the frozen features on `backbone`.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features); it does not move, batch statistics
            included.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and a history of one row: step 0,
        val_accuracy, val_loss, l2.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    l2 = (
        chosen(fit.predict(backbone, data.train.images), data.train, budget.seed)
        if options.l2 == "auto"
        else options.l2
    )
    probe.fit_head(model, data, l2)
    return model, [{"step": 0.0, "l2": l2, **fit.evaluate(model, data.validation)}]


def chosen(features: Any, rows: Split, seed: int) -> float:
    """Of `TRIED` the penalty under which rows that were left out are likeliest; 1 where too few rows can be left out.

    Args:
        features: (n, d) of the training rows.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    own = np.arange(len(rows)) if rows.units is None else rows.units
    n = min(FOLDS, *(len(np.unique(own[rows.labels == label])) for label in np.unique(rows.labels)))
    if n < 2:
        return 1.0
    compact = frozen.compact(frozen.standardised(features.astype(np.float64)))
    classes = np.unique(rows.labels)
    parted = folds.folds(rows.labels, rows.units, n, seed)

    def loss(l2: float) -> float:
        left_out = []
        for train, validation in parted:
            regression = LogisticRegression(C=1.0 / l2, max_iter=1000).fit(compact[train], rows.labels[train])
            guesses = regression.predict_proba(compact[validation])
            left_out.append(log_loss(rows.labels[validation], guesses, labels=classes))
        return float(np.mean(left_out))

    return min(TRIED, key=loss)
