"""NLEEP (Li et al. 2021), LEEP (Nguyen et al. 2020) on clusters: do the features' clusters say the labels?"""

import warnings

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import features as frozen

SEED = 0


class Options(BaseModel):
    """How much of the variance is kept, and how fine the clusters are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    variance: float = Field(default=0.8, gt=0, lt=1, description="share kept by PCA before clustering")
    clusters_per_class: int = Field(default=5, ge=1, le=100, description="at most: fewer where rows are few")
    rows_per_cluster: int = Field(default=10, ge=2, le=10_000, description="at least, down to a cluster per class")


DEFAULT = Options()


def score(features: NDArray[np.float32], labels: NDArray[np.int64], options: Options = DEFAULT) -> float:
    """Mean log probability of the labels, given the rows' shares in the clusters; at most 0, higher is better.

    PCA, then a mixture of Gaussians with diagonal covariances; its components take the place of the source's classes
    in LEEP. With as many clusters as rows any labels would look good, so few rows get few clusters.

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rows, codes = frozen.labelled(features, labels)
    few = PCA(options.variance, svd_solver="full").fit_transform(frozen.compact(rows - rows.mean(axis=0)))
    few /= np.sqrt(few.var(axis=0).mean())
    n_classes = int(codes.max()) + 1
    clusters = max(n_classes, min(options.clusters_per_class * n_classes, len(rows) // options.rows_per_cluster))
    mixture = GaussianMixture(clusters, covariance_type="diag", reg_covar=1e-2, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rows that are alike make fewer clusters: no matter
        shares = mixture.fit(few).predict_proba(few)
    joint = np.eye(n_classes)[codes].T @ shares / len(rows)
    given = joint / np.maximum(joint.sum(axis=0), 1e-300)
    probability = (shares * given[codes]).sum(axis=1)
    return float(np.log(np.maximum(probability, 1e-12)).mean())
