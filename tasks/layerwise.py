"""How far each layer carries over: the first n blocks taken from the source, the rest learned anew (Yosinski 2014)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.core import fit, layers, nets
from graft.core.budget import Budget
from graft.core.dataset import draw_per_class, draw_validation
from graft.core.errors import GateRefused
from graft.core.fit import TrainData
from graft.core.sections import Settings
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.workspace import Workspace

KINDS = ("frozen", "learning")


@dataclass(frozen=True)
class Bench:
    """What all trainings share.

    Attributes:
        learned: the pretrained backbone.
        rate: the learning rate that `transfer` kept.
    """

    workspace: Workspace
    settings: Settings
    choices: Choices
    learned: Any
    rate: float


def measure(workspace: Workspace, settings: Settings, choices: Choices) -> dict[str, Any] | None:
    """Accuracy on validation rows with the first n blocks from the source, n from none to all; None if not asked for.

    The blocks behind them start at random weights. The first n stay as they are ("frozen": where the curve falls, they
    are made for the source, or for the blocks that followed them), or learn with the rest ("learning": what is left is
    the start that they give). The head is new in either case. Each training has the labels, the steps and the learning
    rate of `transfer`, and is measured on all validation rows, of which it chose its best step by some.

    Returns:
        blocks: a name for each; seeds; rows: how many are measured on; frozen, learning: for each n one accuracy in
        [0, 1] a seed, None where the training diverged.
    """
    seeds = settings.evaluate.seeds[: settings.evaluate.layers]
    if not seeds:
        return None
    rate = files.read_json(workspace.finetune_report)["transfer"]["learning_rate"]
    learned = models.load(workspace.pretrained / f"{choices.backbone.name}.keras").get_layer("backbone")
    bench = Bench(workspace, settings, choices, learned, rate)
    blocks = layers.blocks(learned)
    curves: dict[str, list[list[float | None]]] = {kind: [] for kind in KINDS}
    for taken in range(len(blocks) + 1):
        for kind in KINDS:
            same = kind == "learning" and not taken  # nothing is taken: nothing to freeze
            found = curves["frozen"][0] if same else [_accuracy(bench, taken, kind == "frozen", seed) for seed in seeds]
            curves[kind].append(found)
    return {
        "blocks": [block[0].name for block in blocks],
        "seeds": list(seeds),
        "rows": len(arrays.read(workspace.packed("target", "validation"))),
        **curves,
    }


def _accuracy(bench: Bench, taken: int, frozen: bool, seed: int) -> float | None:
    """Of one training, on all validation rows; None if it diverged."""
    try:
        model = trained(bench, taken, frozen, seed)
    except GateRefused:
        return None
    validation = arrays.read(bench.workspace.packed("target", "validation"))
    return float(np.mean(fit.predict(model, validation.images).argmax(axis=1) == validation.labels))


def trained(bench: Bench, taken: int, frozen: bool, seed: int) -> Any:
    """The target classifier whose first `taken` blocks started as in the source's net, and stayed so if `frozen`.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    section, data = bench.settings.finetune, _data(bench, seed)
    net, kept = started(bench.choices, bench.learned, taken, seed)
    model = fit.classifier(net, data.n_classes, seed)
    budget = Budget(section.steps, section.batch_size, bench.rate, section.evaluations, seed, section.training)
    with layers.frozen(kept if frozen else []):
        fit.train(model, data, budget)
    return model


def started(choices: Choices, learned: Any, taken: int, seed: int) -> tuple[Any, list[Any]]:
    """A net whose first `taken` blocks are as in `learned`, the rest random; and the layers of those blocks."""
    spec = choices.modality.module.spec(choices.modality.options)
    net = nets.from_nothing(choices.backbone, spec, 1000 + seed)
    pairs = zip(layers.blocks(net)[:taken], layers.blocks(learned)[:taken], strict=True)
    kept = []
    for mine, theirs in pairs:
        for one, other in zip(mine, theirs, strict=True):
            one.set_weights(other.get_weights())
            kept.append(one)
    return net, kept


def _data(bench: Bench, seed: int) -> TrainData:
    """The labels that the arms of this seed learn from, and choose by."""
    per_class, varied = bench.settings.finetune.per_class, bench.choices.modality.module.AUGMENTS
    train, validation = (arrays.read(bench.workspace.packed("target", split)) for split in ("train", "validation"))
    n_classes = len(files.read_json(bench.workspace.classes)["target"])
    return TrainData(
        train.take(draw_per_class(train.labels, per_class, seed)),
        validation.take(draw_validation(validation.labels, n_classes, per_class, seed)),
        n_classes,
        varied[bench.settings.finetune.training.augment],
    )
