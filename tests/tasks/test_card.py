"""What the model card says of licence, as Hugging Face reads it, and gains. The rest is asked of a finished run."""

import pytest

from graft.core import comparison, tune_page
from tasks import card, report


@pytest.mark.parametrize(
    ("said", "head"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("MIT", {"license": "mit"}),
        ("Ours alone", {"license": "other", "license_name": "Ours alone"}),
        ("", {"license": "other", "license_name": "see-data-and-licences"}),
    ],
)
def test_the_licence_is_one_that_is_known_or_another_by_name(said: str, head: dict[str, str]) -> None:
    assert card._licence(said) == head


@pytest.mark.parametrize(("low", "shown"), [(-0.04, "+0.0"), (-0.06, "-0.1"), (0.04, "+0.0")])
def test_a_zero_has_no_minus_whatever_it_was_rounded_from(low: float, shown: str) -> None:
    gain = {"points": 11.13, "ci95": [low, 22.9]}
    assert card._gain("seen", gain).endswith(f"+11.1 points, 95 % interval {shown} to +22.9.")
    assert report._points(gain) == f"+11.1 points, 95 % interval {shown} to +22.9"
    assert comparison.signed(low) == tune_page.signed(low) == shown.replace("-", "−")
