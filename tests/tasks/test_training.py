"""What a killed stage had trained is found again under the same key, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest

from graft.core import settings as settings_file
from graft.core.dataset import Split
from graft.core.errors import BadInput, GateRefused
from graft.core.fit import TrainData
from graft.core.sections import Choice
from tasks import finetune, training
from tasks.finetune import Bench, Training
from tasks.training import Kept
from tasks.workspace import Workspace
from tests.contracts.conftest import pictures

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    pass


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    (tmp_path / "input").write_text("data")
    return Workspace(tmp_path)


@pytest.fixture(scope="module")
def model() -> Any:
    import keras

    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def killed(place: Workspace, model: Any, decides: Any = 1) -> Path:
    """The folder that a stage left which was killed after its first training."""
    with pytest.raises(Killed), training.kept(place, "finetune", decides, [place.root / "input"]) as kept:
        kept.checkpoint("one").phase("train").save({"step": 3}, {})
        kept.finish("one", model, [{"step": 1.0}])
        kept.checkpoint("two").save({"step": 4}, {})
        raise Killed
    return kept.folder


def again(place: Workspace, decides: Any = 1) -> Kept:
    with pytest.raises(Killed), training.kept(place, "finetune", decides, [place.root / "input"]) as kept:
        raise Killed
    return kept


def test_what_was_finished_is_found_and_what_was_at_work_too(place: Workspace, model: Any) -> None:
    killed(place, model)
    kept = again(place)
    assert kept.finished("one") == [{"step": 1.0}] and kept.finished("two") is None
    assert kept.checkpoint("two").load() == ({"step": 4}, {})
    assert kept.checkpoint("one").phase("train").load() is None
    with training.kept(place, "finetune", 1, [place.root / "input"]):
        pass
    assert list(place.trainings.iterdir()) == []


@pytest.mark.parametrize("name", ["one.keras", "one.json"])
def test_a_file_that_the_disk_has_half_of_is_none(place: Workspace, model: Any, name: str) -> None:
    path = killed(place, model) / name
    os.truncate(path, path.stat().st_size // 2)
    assert again(place).finished("one") is None


def test_other_settings_or_data_begin_anew(place: Workspace, model: Any) -> None:
    killed(place, model)
    assert again(place, decides=2).finished("one") is None
    assert len(list(place.trainings.iterdir())) == 1
    killed(place, model)
    (place.root / "input").write_text("other data")
    assert again(place).finished("one") is None


def bench(place: Workspace, **section: Any) -> Bench:
    """With four pictures of each of four classes to learn from; no file is read."""
    settings = settings_file.load(ROOT / "params.yaml")
    wanted = settings.finetune.model_copy(update={"labels_per_class": 4, "method": Choice(name="fixmatch"), **section})
    made = Bench(place, settings.model_copy(update={"finetune": wanted}), Kept(place.root))
    split = pictures(40, 4, 0)
    made.__dict__.update(
        {
            "train": Split(split.images, split.labels, split.labels * 100 + split.labels.argsort() % 6),
            "validation": pictures(16, 4, 1),
            "source": pictures(8, 4, 2),
            "n_classes": 4,
        }
    )
    return made


def data(made: Bench, fold: int | None = None) -> TrainData:
    return made.data(Training("transfer", 0, 0.1, fold), lambda share: None)


def test_the_rest_comes_without_labels_unless_it_is_not_wanted(place: Workspace) -> None:
    found = data(bench(place))
    assert len(found.train) == 16 and found.unlabelled is not None and found.unlabelled.shape == (24, 32, 32, 3)
    assert not {one.tobytes() for one in found.unlabelled} & {one.tobytes() for one in found.train.images}
    few = data(bench(place, max_unlabelled=5)).unlabelled
    assert few is not None and len(few) == 5
    assert data(bench(place, unlabelled="none")).unlabelled is None
    assert data(bench(place, method=Choice(name="full"))).unlabelled is None
    assert data(bench(place, labels_per_class="all")).unlabelled is None


def test_folds_take_the_training_rows_apart_and_no_unit(place: Workspace) -> None:
    made = bench(place, folds=2)
    every, parts = data(made), [data(made, fold) for fold in (0, 1)]
    for part in parts:
        assert part.train.units is not None and part.validation.units is not None
        assert not set(part.train.units) & set(part.validation.units)
        assert len(part.train) + len(part.validation) == len(every.train)
    assert sum(len(part.validation) for part in parts) == len(every.train)
    with pytest.raises(BadInput, match="too few for 9 folds"):
        data(bench(place, folds=9), 0)


def test_the_rate_that_is_best_over_the_folds_is_chosen() -> None:
    def tried(rate: float, *accuracies: float) -> list[tuple[Training, list[dict[str, float]]]]:
        return [
            (Training("transfer", 0, rate, fold), [{"val_accuracy": one, "val_loss": 1.0}] if one else [])
            for fold, one in enumerate(accuracies)
        ]

    assert finetune.best([*tried(0.1, 0.9, 0.1), *tried(0.2, 0.6, 0.6), *tried(0.3, 0.99, 0.0)]) == 0.2
    with pytest.raises(GateRefused, match="every other rate"):
        finetune.best(tried(0.1, 0.9, 0.0))
