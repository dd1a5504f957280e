"""H-score (Bao et al. 2019) with shrinkage (Ibrahim, Ponomareva & Mazumder 2022): how far apart are the class means?"""

import numpy as np
from numpy.typing import NDArray

from graft.core import features as frozen


def score(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Trace of the inverse covariance of the features times that of their class means; higher is better for transfer.

    At most the number of classes less one. The plain covariance cannot be inverted where there are more features than
    rows, and makes any labels look good where there are about as many: Ledoit and Wolf's (2004) shrinkage is used
    always, as Ibrahim et al. do. With many rows it vanishes and leaves the score of Bao et al.

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    from sklearn.covariance import ledoit_wolf

    rows, codes = frozen.labelled(features, labels)
    rows = rows / rows.std()  # the result does not change; tiny features would be lost in rounding
    covariance, shrinkage = ledoit_wolf(rows)
    counts = np.bincount(codes)
    means = np.stack([rows[codes == k].mean(axis=0) for k in range(len(counts))]) - rows.mean(axis=0)
    weighted = means * np.sqrt(counts / len(rows))[:, None]
    explained = float((weighted * np.linalg.solve(covariance, weighted.T).T).sum())
    return (1.0 - float(shrinkage)) * explained
