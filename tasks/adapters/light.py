"""TensorFlow without what Keras imports for its own plots and scikit-learn wrappers: half of what its start costs.

Keras takes these packages as optional. They are refused to it while it is being imported in a process of the pipeline,
and are there for everybody else: before, after, and for the stages themselves.
"""

import inspect
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

LEFT_OUT = ("matplotlib", "pandas", "scipy", "sklearn")
WITHOUT = ("keras", "tensorflow")


class _LeftOut(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname in LEFT_OUT and _asked_by_an_import_of(WITHOUT):
            raise ModuleNotFoundError(f"{fullname} is left out while Keras is imported", name=fullname)


def _asked_by_an_import_of(names: Sequence[str]) -> bool:
    """Whether this thread is at the first import of one of these packages."""
    frame = inspect.currentframe()
    while frame:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") in names:
            return True
        frame = frame.f_back
    return False


def leave_out() -> None:
    """From now on, in this process."""
    sys.meta_path.insert(0, _LeftOut())
