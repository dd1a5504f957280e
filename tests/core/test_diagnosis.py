"""A planted fault is named by what it does to answers, and rounding is taken for none."""

import numpy as np
import pytest

from graft.core import diagnosis

GENERATOR = np.random.default_rng(3)
PICTURES = GENERATOR.integers(0, 256, (60, 9, 9, 3), np.uint8)
WEIGHTS = GENERATOR.normal(0, 0.02, (9 * 9 * 3, 5)).astype(np.float32)


def predict(pictures: np.ndarray) -> np.ndarray:
    """Any model will do: every pixel counts for something else."""
    logits = np.tanh((pictures.reshape(len(pictures), -1) - 127.5) / 64) @ WEIGHTS * 8
    shares: np.ndarray = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


REFERENCE = predict(PICTURES.astype(np.float32))
FAULTY = diagnosis.faulty(predict, PICTURES)


@pytest.mark.parametrize("fault", list(FAULTY), ids=lambda fault: fault[1])
def test_each_fault_is_named(fault: tuple[str, str]) -> None:
    noise = GENERATOR.normal(0, 1e-3, REFERENCE.shape).astype(np.float32)
    assert diagnosis.likely_cause(FAULTY[fault] + noise, REFERENCE, FAULTY).startswith(f"{fault[0]} ({fault[1]}")


def test_labels_in_another_order_are_named() -> None:
    moved = REFERENCE[:, [2, 0, 1, 4, 3]]
    said = diagnosis.likely_cause(moved, REFERENCE, FAULTY)
    assert said == "label order (with its labels in another order they agree on 100%)"


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_noise_is_no_usual_fault(size: float) -> None:
    noise = GENERATOR.normal(0, size, REFERENCE.shape).astype(np.float32)
    assert diagnosis.likely_cause(REFERENCE + noise, REFERENCE, FAULTY) == ""
