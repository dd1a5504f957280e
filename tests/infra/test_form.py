"""KEY=VALUE on the command line is checked like the form on Prefect's pages, before anything is started."""

from typing import Any

import pytest

from graft.core.errors import BadInput, GraftError, UsageError
from infra import form

SCHEMA: dict[str, Any] = {
    "properties": {
        "model": {"type": "string", "maxLength": 8, "description": "Name of the model."},
        "labels": {"type": "string", "pattern": "^(all|[1-9][0-9]{0,5})?$", "default": ""},
        "seeds": {"type": "integer", "minimum": 0, "maximum": 100, "default": 0},
        "at_end": {"type": "string", "enum": ["ask", "never"], "default": "ask"},
        "dry": {"type": "boolean", "default": False},
    },
    "required": ["model"],
}


def test_values_get_the_types_of_their_fields() -> None:
    given = ["model=plants", "seeds=3", "at_end=never", "dry=true", "labels=all"]
    assert form.filled_in(SCHEMA, given) == {
        "model": "plants",
        "seeds": 3,
        "at_end": "never",
        "dry": True,
        "labels": "all",
    }
    assert form.filled_in(SCHEMA, ["model=a=b"]) == {"model": "a=b"}


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ("seeds", UsageError, "'seeds' is not KEY=VALUE; keys: model, labels, seeds, at_end, dry"),
        ("sedes=1", UsageError, "'sedes' is no field; did you mean seeds? fields: model, labels, seeds, at_end, dry"),
        ("model=b", UsageError, "model is given twice"),
        ("seeds=x", BadInput, "seeds is 'x'; a whole number from 0 to 100 would do"),
        ("seeds=1.5", BadInput, "seeds is '1.5'; a whole number from 0 to 100 would do"),
        ("seeds=101", BadInput, "seeds is '101'; a whole number from 0 to 100 would do"),
        ("seeds=-1", BadInput, "seeds is '-1'; a whole number from 0 to 100 would do"),
        ("at_end=Ask", BadInput, "at_end is 'Ask'; ask, never would do"),
        ("dry=yes", BadInput, "dry is 'yes'; true or false would do"),
        ("labels=0", BadInput, "labels is '0'; text that matches ^(all|[1-9][0-9]{0,5})?$ would do"),
        ("labels=\x1b[1m", BadInput, r"labels is '\x1b[1m'; text that matches ^(all|[1-9][0-9]{0,5})?$ would do"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_one_line(given: str, kind: type[GraftError], told: str) -> None:
    with pytest.raises(kind) as refused:
        form.filled_in(SCHEMA, ["model=a", given])
    assert str(refused.value) == told


def test_too_long_a_text_and_a_field_left_out_are_told() -> None:
    with pytest.raises(BadInput, match="^model is 'ninechars'; text of at most 8 characters would do$"):
        form.filled_in(SCHEMA, ["model=ninechars"])
    with pytest.raises(UsageError, match=r"^model must be given: Name of the model\.$"):
        form.filled_in(SCHEMA, ["seeds=1"])
