"""Keras starts without packages that it would only use for plots and wrappers; whoever wants them has them."""

import subprocess
import sys

import pytest

ALL = "matplotlib pandas scipy sklearn"
LOADED = f"print(*sorted(set({ALL.split()}) & sys.modules.keys()))\n"
TRAINED = """
net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
net.compile("adam", "mse")
net.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
"""


@pytest.mark.parametrize(
    ("program", "before", "after"),
    [
        (
            f"import sys, tasks, tensorflow, keras\n{LOADED}import numpy as np, sklearn, pandas, scipy, matplotlib\n",
            "",
            ALL,
        ),
        ("import sys, graft, keras\n", None, ALL),
    ],
)
def test_what_nobody_asked_for_is_not_loaded(program: str, before: str | None, after: str) -> None:
    program += f"{TRAINED if before is not None else ''}{LOADED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ([after] if before is None else [before, after])
