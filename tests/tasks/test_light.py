"""Keras starts without packages that it would only use for plots and wrappers; whoever wants them has them."""

import subprocess
import sys

ALL = "matplotlib pandas scipy sklearn"
LOADED = f"print(*sorted(set({ALL.split()}) & sys.modules.keys()))"


def said(*program: str) -> list[str]:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_process_of_the_pipeline_loads_them_when_it_wants_them_and_trains_all_the_same() -> None:
    trains = (
        "net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])",
        "net.compile('adam', 'mse')",
        "net.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)",
    )
    wants = f"import numpy as np, {ALL.replace(' ', ', ')}"
    assert said("import sys, tasks, tensorflow, keras", LOADED, wants, *trains, LOADED) == ["", ALL]


def test_in_a_program_of_ones_own_keras_is_whole() -> None:
    assert said("import sys, graft, keras", LOADED) == [ALL]
