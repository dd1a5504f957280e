"""Methods that look at pictures without labels, at the source, or at a teacher: what the contract cannot say of all."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, layers, loop, plugins, unlabelled, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint
from graft.core.sections import Choice
from graft.core.spec import Spec
from graft.methods import coral, dann, distill, fixmatch, mean_teacher, mmd

BUDGET = Budget(steps=8, batch_size=8, learning_rate=3e-3, evaluations=4, seed=1)
QUICK = replace(BUDGET, steps=2, evaluations=1)
SWEEP = pytest.mark.sweep


def coloured(n: int, n_classes: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    images = generator.integers(0, 80, (n, 32, 32, 3), dtype=np.uint8)
    images[np.arange(n), :, :, labels] += 150
    return Split(images, labels.astype(np.int64))


@pytest.fixture(scope="module")
def data() -> TrainData:
    train, validation, source = coloured(12, 3, 0), coloured(9, 3, 1), coloured(16, 2, 2)
    others = coloured(30, 3, 3).images
    return TrainData(train, validation, 3, vary.weak, strong=vary.strong, unlabelled=others, source=source)


class Net:
    """One network, put back to where it began."""

    def __init__(self) -> None:
        self.backbone = convnet.build(convnet.Options(width=4), Spec(32), 0)
        self.start = self.backbone.get_weights()

    def adapt(self, method: Any, data: TrainData, budget: Budget = BUDGET, **options: Any) -> tuple[Any, loop.History]:
        self.backbone.set_weights(self.start)
        model, history = method.adapt(method.Options(**options), self.backbone, data, budget)
        return model, history


@pytest.fixture(scope="module")
def net() -> Net:
    return Net()


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (fixmatch, "method fixmatch learns from target pictures without labels and there are none"),
        (mean_teacher, "method mean_teacher learns from target pictures without labels and there are none"),
        (dann, "method dann looks at source pictures too and there are none"),
        (coral, "method coral looks at source pictures too and there are none"),
        (mmd, "method mmd looks at source pictures too and there are none"),
    ],
)
def test_pictures_that_are_not_there_are_asked_for_in_one_line(
    net: Net, data: TrainData, method: Any, told: str
) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        net.adapt(method, replace(data, unlabelled=None, source=None))
    assert "\n" not in str(caught.value)


def test_a_teacher_answers_with_its_own_weights_and_statistics_and_moves_nothing(net: Net, data: TrainData) -> None:
    import tensorflow as tf

    model = fit.classifier(net.backbone, 3, 0)
    pictures = tf.cast(data.train.images, tf.float32)
    other = [one.numpy() + 0.01 for one in model.variables]
    before = [one.numpy() for one in model.variables]
    with tf.GradientTape() as tape:
        answered = unlabelled.answers(model, other, pictures)
    assert tape.gradient(answered, model.trainable_variables) == [None] * len(model.trainable_variables)
    for ours, theirs in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
    for variable, value in zip(model.variables, other, strict=True):
        variable.assign(value)
    np.testing.assert_allclose(answered, model(pictures, training=False), rtol=1e-5, atol=1e-5)


@SWEEP
def test_a_pupil_killed_in_either_part_ends_as_if_it_had_not_been(
    net: Net, data: TrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: dict[str, Any] = {"adaptive": True, "align": True}
    budget = replace(BUDGET, recipe=Recipe(mixup=0.2, label_smoothing=0.1, class_weights="balanced"))
    told: list[tuple[int, int]] = []
    seen = replace(data, progress=lambda done, total: told.append((done, total)))
    model, history = net.adapt(fixmatch, seen, budget, **chosen)
    assert [row["step"] for row in history] == [3.0, 5.0, 7.0, 8.0]
    assert told == [(3, 8), (5, 8), (7, 8), (8, 8)]
    weights = model.get_weights()
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0.0)  # after each step
    for step in (3, 7):

        def progress(done: int, total: int, last: int = step) -> None:
            if done == last:
                raise Killed

        checkpoint = Checkpoint(tmp_path / str(step))
        with pytest.raises(Killed):
            net.adapt(fixmatch, replace(data, checkpoint=checkpoint, progress=progress), budget, **chosen)
        again, resumed = net.adapt(fixmatch, replace(data, checkpoint=checkpoint), budget, **chosen)
        assert resumed == history
        for ours, theirs in zip(weights, again.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_answer_below_the_threshold_is_no_label(net: Net, data: TrainData) -> None:
    _, history = net.adapt(fixmatch, data, QUICK, l2=1e6, supervised=0.0, last_blocks=1)  # a head of about zero
    assert history[-1]["kept"] == history[-1]["unlabelled_loss"] == 0.0
    _, history = net.adapt(fixmatch, data, QUICK, last_blocks=1)
    assert history[-1]["kept"] > 0.0 and history[-1]["unlabelled_loss"] > 0.0


@pytest.mark.parametrize(
    "method", [fixmatch, pytest.param(mean_teacher, marks=SWEEP), pytest.param(distill, marks=SWEEP)]
)
def test_blocks_that_are_kept_do_not_move_and_learn_again_afterwards(net: Net, data: TrainData, method: Any) -> None:
    flags = layers.flags(net.backbone)
    model, _ = net.adapt(method, data, QUICK, last_blocks=1)
    kept = {id(one) for one in method.keeps(method.Options(last_blocks=1), net.backbone)}
    moved = [not np.array_equal(a, b.numpy()) for a, b in zip(net.start, net.backbone.weights, strict=True)]
    assert moved == [id(one) not in kept for one in net.backbone.weights] and any(moved) and not all(moved)
    assert layers.flags(net.backbone) == flags
    assert method.keeps(method.Options(), net.backbone) == []


def test_a_reversed_gradient_fools_whom_the_plain_one_teaches() -> None:
    import tensorflow as tf

    features = tf.Variable([[1.0, -2.0]])
    with tf.GradientTape() as tape:
        cost = tf.reduce_sum(dann.reverse(features, 0.5) * tf.constant([[3.0, 4.0]]))
    assert float(cost) == -5.0
    np.testing.assert_allclose(tape.gradient(cost, features), [[-1.5, -2.0]])


@SWEEP
def test_the_judge_tells_domains_apart_where_it_is_not_fooled(net: Net, data: TrainData) -> None:
    dark = replace(data, source=Split(data.source.images // 3, data.source.labels)) if data.source else data
    longer = replace(BUDGET, steps=24, evaluations=2)
    _, history = net.adapt(dann, dark, longer, weight=1e-6)
    assert history[-1]["domain_accuracy"] > 0.7


@SWEEP
@pytest.mark.parametrize("method", [coral, mmd])
def test_a_distance_between_domains_shrinks_where_it_counts(net: Net, data: TrainData, method: Any) -> None:
    bright = replace(data, source=Split(255 - data.source.images, data.source.labels)) if data.source else data
    far = []
    for weight in (1e-6, 100.0):
        _, history = net.adapt(method, bright, replace(BUDGET, steps=16, evaluations=2), weight=weight)
        far.append(history[-1]["distance"])
    assert far[1] < 0.8 * far[0]


def test_the_distances_are_those_of_the_papers() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = (generator.normal(size=(n, 4)).astype(np.float32) * scale for n, scale in ((30, 1.0), (20, 2.0)))
    gap = np.cov(ours.T) - np.cov(theirs.T)
    assert float(coral.apart(ours, theirs, 0.0)[0]) == pytest.approx((gap**2).sum() / 64, rel=1e-4)
    squares = ((np.concatenate([ours, theirs])[:, None] - np.concatenate([ours, theirs])[None]) ** 2).sum(-1)
    width = squares.sum() / (50 * 49)
    kernel = sum(np.exp(-squares / (width * factor)) for factor in mmd.WIDTHS) * (1 - np.eye(50))
    within = kernel[:30, :30].sum() / (30 * 29) + kernel[30:, 30:].sum() / (20 * 19)
    expected = within - 2 * kernel[:30, 30:].mean()
    assert float(mmd.apart(ours, theirs, 0.0)[0]) == pytest.approx(expected, abs=1e-4)
    assert float(mmd.apart(10 * ours, 10 * theirs, 0.0)[0]) == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def teacher() -> Any:
    """Answers by the brightest colour; takes smaller pictures than the pupil."""
    import keras

    inputs = keras.Input((16, 16, 3))
    head = keras.layers.Dense(3, name="head")
    model = keras.Model(inputs, head(keras.layers.GlobalAveragePooling2D(name="mean")(inputs)))
    head.set_weights([np.eye(3) / 20, np.zeros(3)])
    return model


@SWEEP
def test_a_pupil_comes_to_answer_as_its_teacher_and_the_teacher_stays(net: Net, data: TrainData, teacher: Any) -> None:
    held = teacher.get_weights()
    net.backbone.set_weights(net.start)
    mild = replace(data, strong=vary.weak)
    longer = replace(BUDGET, steps=60, evaluations=3, learning_rate=0.01)
    options = distill.Options(labels_weight=0.0, start="random")
    model, history = distill.distil(net.backbone, teacher, mild, longer, options)
    assert history[-1]["divergence"] < 0.5 * history[0]["divergence"]
    assert history[-1]["val_accuracy"] == 1.0
    for ours, theirs in zip(held, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@SWEEP
def test_a_teacher_in_a_file_teaches_if_it_is_the_one_that_was_named(
    net: Net, data: TrainData, teacher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    teacher.save("teacher.keras")
    sha256 = hashlib.sha256(Path("teacher.keras").read_bytes()).hexdigest()
    with pytest.raises(BadInput, match="finetune.method.teacher_sha256 is 0{64}"):
        net.adapt(distill, data, teacher="teacher.keras", teacher_sha256="0" * 64)
    _, history = net.adapt(distill, data, QUICK, teacher="teacher.keras", teacher_sha256=sha256)
    assert history[-1]["divergence"] > 0


@SWEEP
def test_a_net_teaches_what_is_left_of_it_without_its_least_channels(net: Net, data: TrainData) -> None:
    model, history = net.adapt(distill, data, share=0.5)
    whole = fit.classifier(net.backbone, 3, 1)
    assert model.count_params() < 0.8 * whole.count_params()
    assert [row["step"] for row in history if "divergence" in row] == [6, 8] and len(history) == 4
    held = net.backbone.get_weights()
    smallest, _ = net.adapt(distill, data, share=0.9)
    assert smallest.count_params() < model.count_params()
    for ours, theirs in zip(held, net.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_pupil_without_channels_has_no_teacher_from_a_file() -> None:
    said = {"name": "distill", "teacher": "a.keras", "teacher_sha256": "0" * 64, "share": 0.5}
    with pytest.raises(BadInput, match="finetune.method .*should have a teacher of its own or a share"):
        plugins.resolve("graft.methods", Choice.model_validate(said), "finetune.method")


def test_a_teacher_needs_its_hash_before_anything_runs() -> None:
    with pytest.raises(BadInput, match="should have teacher and teacher_sha256, or neither"):
        plugins.resolve(
            "graft.methods", Choice.model_validate({"name": "distill", "teacher": "a.keras"}), "finetune.method"
        )


def test_a_teacher_of_other_pictures_is_refused(net: Net, data: TrainData, teacher: Any) -> None:
    grey = Split(data.train.images[..., :1], data.train.labels)
    with pytest.raises(BadInput, match="takes 3 channels and tells 3 classes; the pictures have 1 and 3"):
        distill.distil(net.backbone, teacher, replace(data, train=grey), BUDGET, distill.Options())
