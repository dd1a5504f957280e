"""One temperature makes a sure model less sure, and the other way round, and changes no answer."""

import numpy as np
import pytest

from graft.core.calibration import temperature
from graft.core.fit import softmax
from graft.metrics import calibration


def drawn(true_temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the probabilities that logits have once they are divided by `true_temperature`."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (4000, 6)).astype(np.float32)
    probabilities = softmax(logits / np.float32(true_temperature))
    labels = np.array([generator.choice(6, p=row / row.sum()) for row in probabilities.astype(float)])
    return logits, labels


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true_temperature: float) -> None:
    logits, labels = drawn(true_temperature)
    found = temperature(logits, labels)
    assert found == pytest.approx(true_temperature, rel=0.08)
    before, after = (
        calibration.score(calibration.Options(), labels, softmax(logits / np.float32(by))) for by in (1.0, found)
    )
    assert after["log_loss"] <= before["log_loss"]
    assert after["expected_calibration_error"] < 0.03


def test_what_gives_no_temperature_is_refused() -> None:
    logits, labels = drawn(1.0)
    for bad in ((logits[:0], labels[:0]), (logits[:5], labels), (logits * np.float32(np.nan), labels)):
        with pytest.raises(ValueError, match="no temperature"):
            temperature(*bad)
