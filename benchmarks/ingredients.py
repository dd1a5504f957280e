"""What is compared in benchmarks.transfer: a row an ingredient, so that credit goes to the right one."""

from dataclasses import dataclass, field
from typing import Any

Trial = tuple[float, dict[str, Any]]
"""A learning rate, and what of the method's options is tried with it."""


@dataclass(frozen=True)
class Row:
    """One way to get a model of the target.

    Attributes:
        source: `animals`, `shuffled` (its labels permuted), or "" for none.
        backbone, objective, method: choices as in params.yaml.
        pretrain: recipe of the pretraining; `epochs` and `batch_size` go with it.
        finetune: recipe of the fine-tuning.
        trials: what is tried on the first seed.
        unlabelled: which target pictures come without labels: none, rest, unbalanced, unseen.
        teacher: the row whose model of the same seed teaches this one's.
        against: the row that gains are counted against.
    """

    name: str
    source: str = "animals"
    backbone: dict[str, Any] = field(default_factory=lambda: {"name": "convnet"})
    objective: dict[str, Any] = field(default_factory=lambda: {"name": "supervised"})
    epochs: int = 30
    pretrain: dict[str, Any] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=lambda: {"name": "full"})
    finetune: dict[str, Any] = field(default_factory=lambda: {"augment": "strong"})
    steps: int = 800
    batch_size: int = 32
    trials: tuple[Trial, ...] = ((0.0003, {}), (0.001, {}), (0.003, {}), (0.006, {}))
    unlabelled: str = "none"
    teacher: str = ""
    against: str = "scratch"


LITE0 = {"name": "efficientnet_lite0", "input_px": 96}
FIXMATCH = {"name": "fixmatch", "supervised": 0.1}
ROWS = (
    Row("scratch", source=""),
    Row("article", backbone={"name": "article"}),
    Row("full"),
    Row("full, standard augmentation", finetune={"augment": "standard"}, pretrain={"augment": "standard"}),
    Row("linear probe", method={"name": "linear_probe"}),
    Row("shuffled source", source="shuffled"),
    Row("supcon", objective={"name": "supcon"}),
    Row("scratch, fixmatch", source="", method=FIXMATCH, unlabelled="rest"),
    Row("fixmatch", method=FIXMATCH, unlabelled="rest"),
    Row("fixmatch, unbalanced", method=FIXMATCH, unlabelled="unbalanced"),
    Row("fixmatch, unseen styles", method=FIXMATCH, unlabelled="unseen"),
    Row("mean teacher", method={"name": "mean_teacher"}, unlabelled="rest"),
    Row("dann", method={"name": "dann"}, unlabelled="unseen"),
    Row("coral", method={"name": "coral"}, unlabelled="unseen"),
    Row("mmd", method={"name": "mmd"}, unlabelled="unseen"),
    Row("lite0", source="", backbone=LITE0, method={"name": "last_blocks", "blocks": 6}, steps=400),
    Row(
        "lite0, fixmatch", source="", backbone=LITE0, method=FIXMATCH | {"last_blocks": 6}, unlabelled="rest", steps=550
    ),
    Row("distilled", method={"name": "distill"}, unlabelled="rest", teacher="lite0, fixmatch"),
)
