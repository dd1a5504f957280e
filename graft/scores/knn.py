"""Accuracy of nearest neighbours (Cover & Hart 1967), by cross-validation: are rows of a class near each other?"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import features as frozen
from graft.core.folds import folds

SEED = 0


class Options(BaseModel):
    """How many neighbours vote, and how often the rows are parted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    neighbours: int = Field(default=5, ge=1, le=1000)
    folds: int = Field(default=5, ge=2, le=100, description="fewer where a class has fewer rows")


DEFAULT = Options()


def score(features: NDArray[np.float32], labels: NDArray[np.int64], options: Options = DEFAULT) -> float:
    """Share in [0, 1] of rows that their neighbours among the other folds name rightly; higher is better for transfer.

    Cosine similarity of standardised features; near neighbours weigh more.

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    rows, codes = frozen.labelled(features, labels)
    rows = frozen.standardised(rows)
    hits = 0
    for train, validation in folds(codes, None, frozen.folds_for(codes, options.folds), SEED):
        model = KNeighborsClassifier(min(options.neighbours, len(train)), weights="distance", metric="cosine")
        hits += int((model.fit(rows[train], codes[train]).predict(rows[validation]) == codes[validation]).sum())
    return hits / len(codes)
