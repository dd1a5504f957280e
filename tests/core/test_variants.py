"""What is told of variants: the whole net first, losses with intervals, one that diverged by that word."""

from graft.core import variants

KERAS = {"accuracy": 0.585, "accuracy_ci95": [0.568, 0.602], "parameters": 586_000}
PRUNED = {"accuracy": 0.579, "accuracy_ci95": [0.562, 0.596], "parameters": 311_000}
EXPORT = {
    "keras": KERAS,
    "variants": {
        "pruned": PRUNED | {"trained": True, "drop_points": 0.6, "drop_ci95": [-0.3, 1.5]},
        "quantized": {"trained": False},
    },
}


def test_the_whole_net_comes_first_and_a_loss_has_its_interval() -> None:
    assert variants.rows(EXPORT) == [
        ("whole", "586,000", "58.5 [56.8, 60.2]", ""),
        ("pruned", "311,000", "57.9 [56.2, 59.6]", "0.6 [-0.3, 1.5]"),
        ("quantized", "", "", "its training diverged"),
    ]
    assert all(len(row) == len(variants.HEAD) for row in variants.rows(EXPORT))


def test_nothing_is_told_where_there_are_none_or_none_were_known() -> None:
    assert variants.rows({"keras": KERAS, "variants": {}}) == []
    assert variants.rows({"keras": {"accuracy": 0.585}}) == []
