"""What the settings leave open the hardware and the environment decide; what cannot be met says so."""

import json
from typing import Any

import pytest

from graft.core import parallel, strategy
from graft.core.errors import BadInput
from graft.core.parallel import Way
from graft.core.sections import Train

WORKERS = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}})
CHIEF = json.dumps({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}})
ALONE = json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})


def test_a_batch_that_cannot_be_cut_evenly_is_refused() -> None:
    with pytest.raises(BadInput, match="pretrain.batch_size is 10 and each batch is cut into 3 parts"):
        strategy.way_of(Train(accumulate=3), True, 10)


@pytest.mark.parametrize(
    ("asked", "by_rows", "told", "gpus", "name"),
    [
        ("auto", True, "", 0, "single"),
        ("auto", True, "", 1, "single"),
        ("auto", True, "", 2, "mirrored"),
        ("auto", False, "", 2, "single"),
        ("auto", True, WORKERS, 2, "multi_worker"),
        ("auto", True, ALONE, 0, "single"),
        ("auto", False, WORKERS, 0, "single"),
        ("single", True, WORKERS, 2, "single"),
        ("mirrored", True, "", 0, "mirrored"),
        ("multi_worker", True, "", 0, "multi_worker"),
    ],
)
def test_the_hardware_and_the_environment_choose_what_the_settings_leave_open(
    asked: Any, by_rows: bool, told: str, gpus: int, name: str
) -> None:
    assert strategy.chosen(Train(strategy=asked), by_rows, {"TF_CONFIG": told}, lambda: gpus) == name


def test_tf_config_says_who_is_the_chief() -> None:
    assert strategy.seat_of({}) is None
    assert strategy.seat_of({"TF_CONFIG": WORKERS}) == (("a:1", "b:1"), False)
    assert strategy.seat_of({"TF_CONFIG": CHIEF}) == (("a:1", "b:1"), True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it should be"),
        ("[1]", "it should be"),
        ('{"task": {"type": "worker", "index": "x"}}', "it should be"),
        (WORKERS.replace('"index": 1', '"index": 2'), "worker 2, which its cluster has not"),
        (WORKERS.replace('"type": "worker"', '"type": "ps"'), "ps 1, which its cluster has not"),
    ],
)
def test_a_tf_config_of_another_form_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        strategy.seat_of({"TF_CONFIG": text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("capability", "precision"), [((), "float32"), ((6, 1), "float32"), ((7, 5), "float16"), ((9, 0), "bfloat16")]
)
def test_auto_takes_the_precision_that_a_card_has_tensor_cores_for(capability: Any, precision: str) -> None:
    assert strategy.gains(capability) == precision


def test_on_a_processor_auto_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    way = strategy.way_of(Train(), True, 64)
    assert way == Way()
    model = object()
    assert parallel.plain(model, way) is model
