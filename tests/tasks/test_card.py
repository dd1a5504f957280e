"""What the model card says of the licence, as Hugging Face reads it. The rest is asked of a finished run."""

import pytest

from tasks import card


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
