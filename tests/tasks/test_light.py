"""Keras starts without packages that it would only use for plots and wrappers; whoever wants them has them."""

import subprocess
import sys

import pytest

LOADED = "print(*sorted({'matplotlib', 'pandas', 'scipy', 'sklearn'} & sys.modules.keys()))"
TRAINED = """
net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
net.compile("adam", "mse")
net.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
"""


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        (f"import sys, tasks, keras\n{LOADED}", ""),
        (f"import sys, tasks, tensorflow\n{LOADED}", ""),
        (f"import sys, tasks, numpy as np, keras, sklearn.base, matplotlib.pyplot\n{TRAINED}{LOADED}", None),
        (f"import sys, tasks, sklearn.base, keras\n{LOADED}", None),
        (f"import sys, graft, keras\n{LOADED}", None),
    ],
)
def test_what_nobody_asked_for_is_not_loaded(program: str, loaded: str | None) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == loaded if loaded is not None else "sklearn" in done.stdout
