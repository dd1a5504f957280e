"""Is the scratch net undertrained? Transfer and scratch over steps and labels: python -m benchmarks.budget

An undertrained baseline is the classic way to fake a gain. Runs on what `make demo` left; accuracy is on the target's
validation rows, all of them, so that no test row has a say in any setting.
"""

import time
from itertools import product
from typing import Any

import numpy as np

from benchmarks import record
from graft.core import fit, nets
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class
from graft.core.fit import TrainData
from graft.core.settings import load
from tasks import stage
from tasks.adapters import arrays, models
from tasks.choices import Choices
from tasks.workspace import Workspace

CASES = ((10, 200), (10, 400), (10, 800), (50, 300), (50, 600), (50, 1200))  # (labels per class, steps)
SEEDS = [0, 1, 2]


def main() -> None:
    """Mean accuracy over seeds at the last step for each case, arm and learning rate."""
    workspace = stage.here()
    settings = load(workspace.params)
    choices = Choices.of(settings)
    bench = _Bench(workspace, settings, choices)
    results = []
    for (labels, steps), arm, rate in product(CASES, ("transfer", "scratch"), settings.finetune.learning_rates):
        started = time.perf_counter()
        accuracies = [bench.accuracy(arm, labels, steps, rate, seed) for seed in SEEDS]
        row = {
            "labels_per_class": labels,
            "steps": steps,
            "arm": arm,
            "learning_rate": rate,
            "accuracy": round(float(np.mean(accuracies)), 4),
            "per_seed": [round(value, 4) for value in accuracies],
            "seconds_per_run": round((time.perf_counter() - started) / len(SEEDS), 1),
        }
        print(row, flush=True)
        results.append(row)
    record.write("budget", ("tensorflow", "keras", "numpy"), SEEDS, results)


class _Bench:
    """One network object for all runs."""

    def __init__(self, workspace: Workspace, settings: Any, choices: Choices) -> None:
        self._settings, self._choices = settings, choices
        self._spec = choices.modality.module.spec(choices.modality.options)
        self._train = arrays.read(workspace.packed("target", "train"))
        self._validation = arrays.read(workspace.packed("target", "validation"))
        self._net = self._build(0)
        name = choices.backbone.name
        self._start = models.load(workspace.pretrained / f"{name}.keras").get_layer("backbone").get_weights()

    def accuracy(self, arm: str, labels: int, steps: int, rate: float, seed: int) -> float:
        """Validation accuracy at the last step of one training."""
        budget = Budget(steps, self._settings.finetune.batch_size, rate, evaluations=1, seed=seed)
        data = self._data(labels, seed)
        if arm == "transfer":
            self._net.set_weights(self._start)
            method = self._choices.method
            _, history = method.module.adapt(method.options, self._net, data, budget)
        else:
            self._net.set_weights(self._build(1000 + seed).get_weights())
            history = fit.train(fit.classifier(self._net, data.n_classes, seed), data, budget)
        return float(history[-1]["val_accuracy"])

    def _data(self, labels: int, seed: int) -> TrainData:
        train: Split = self._train.take(draw_per_class(self._train.labels, labels, seed))
        n_classes = int(self._train.labels.max()) + 1
        return TrainData(train, self._validation, n_classes, self._choices.modality.module.AUGMENTS["standard"])

    def _build(self, seed: int) -> Any:
        return nets.from_nothing(self._choices.backbone, self._spec, seed)


if __name__ == "__main__":
    main()
