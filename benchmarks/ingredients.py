"""What is compared in benchmarks.transfer: a row an ingredient, so that credit goes to the right one."""

from dataclasses import dataclass, field, replace
from typing import Any

Trial = tuple[float, dict[str, Any]]
"""A learning rate, and what of the method's options is tried with it."""


@dataclass(frozen=True)
class Row:
    """One way to get a model of the target.

    Attributes:
        source: `animals`, `shuffled` (its labels permuted), `everything` (animals and 817 other classes), "" for none.
        target: `standard`, or `other`: drawn by the other compositor.
        backbone, objective, method: choices as in params.yaml.
        pretrain: recipe of the pretraining; `epochs` and `batch_size` go with it.
        finetune: recipe of the fine-tuning.
        trials: what is tried on the first seed.
        unlabelled: which target pictures come without labels: none, rest, unbalanced, unseen.
        teacher: the row whose model of the same seed teaches this one's.
        views: more views of a test picture over which answers are averaged.
        against: the row that gains are counted against.
    """

    name: str
    source: str = "animals"
    target: str = "standard"
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
    views: int = 0
    against: str = "scratch"


LITE0 = {"name": "efficientnet_lite0", "input_px": 96}
LAST_BLOCKS = {"name": "last_blocks", "blocks": 6}
FIXMATCH = {"name": "fixmatch", "supervised": 0.1}
LITE0_FIXMATCH = {"name": "fixmatch", "supervised": 0.35, "last_blocks": 6}
FASTER: tuple[Trial, ...] = ((0.001, {}), (0.003, {}), (0.006, {}), (0.012, {}))
LITE0_BEST = Row(
    "lite0, fixmatch",
    source="",
    backbone=LITE0,
    method=LITE0_FIXMATCH,
    unlabelled="rest",
    steps=550,
    trials=FASTER,
)
SLOWLY = {"name": "supervised", "learning_rate": 0.001}
ROWS = (
    Row("scratch", source=""),
    Row("scratch, six views", source="", views=5),
    Row("scratch, twice the steps", source="", steps=1600),
    Row("article", backbone={"name": "article"}),
    Row("full"),
    Row("full, six views", views=5, against="scratch, six views"),
    Row("full, twice the steps", steps=1600, against="scratch, twice the steps"),
    Row("full, standard augmentation", finetune={"augment": "standard"}, pretrain={"augment": "standard"}),
    Row("linear probe", method={"name": "linear_probe"}),
    Row("shuffled source", source="shuffled"),
    Row("supcon", objective={"name": "supcon"}),
    Row("everything", source="everything", epochs=10),
    Row("other compositor, scratch", source="", target="other"),
    Row("other compositor", target="other", against="other compositor, scratch"),
    Row("scratch, fixmatch", source="", method=FIXMATCH, unlabelled="rest"),
    Row("fixmatch", method=FIXMATCH, unlabelled="rest"),
    Row("fixmatch, unbalanced", method=FIXMATCH, unlabelled="unbalanced"),
    Row("fixmatch, unseen styles", method=FIXMATCH, unlabelled="unseen"),
    Row("mean teacher", method={"name": "mean_teacher"}, unlabelled="rest"),
    Row("dann", method={"name": "dann"}, unlabelled="unseen"),
    Row("coral", method={"name": "coral"}, unlabelled="unseen"),
    Row("mmd", method={"name": "mmd"}, unlabelled="unseen"),
    Row("lite0", source="", backbone=LITE0, method=LAST_BLOCKS, steps=400, trials=FASTER),
    LITE0_BEST,
    replace(LITE0_BEST, name="lite0, fixmatch, six views", views=5, against="scratch, six views"),
    Row(
        "lite0, everything",
        "everything",
        backbone=LITE0,
        objective=SLOWLY,
        epochs=4,
        method=LAST_BLOCKS,
        steps=400,
        trials=FASTER,
    ),
    Row(
        "lite0, everything, fixmatch",
        "everything",
        backbone=LITE0,
        objective=SLOWLY,
        epochs=4,
        method=LITE0_FIXMATCH,
        unlabelled="rest",
        steps=550,
        trials=FASTER,
    ),
    Row(
        "distilled",
        "everything",
        epochs=10,
        method={"name": "distill"},
        unlabelled="rest",
        teacher="lite0, everything, fixmatch",
    ),
    Row("distilled, animals", method={"name": "distill"}, unlabelled="rest", teacher="lite0, fixmatch"),
)
