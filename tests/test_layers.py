"""Who may import whom: flows -> tasks -> graft, plug-ins the core alone, heavy things where they are used."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = ("modalities", "backbones", "objectives", "methods", "scores", "metrics", "exports")
HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "pyarrow", "matplotlib", "boto3", "botocore", "great_expectations")
OUTSIDE = {  # module: where it may be imported
    "prefect": ("flows/",),
    "dvc": ("tasks/adapters/",),
    "git": ("tasks/adapters/",),
    "great_expectations": ("tasks/adapters/",),
    "boto3": ("graft/hub/", "tasks/origins/s3.py"),
    "botocore": ("graft/hub/", "tasks/origins/s3.py"),
}


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted module, at top level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name, id(node) in top) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}", id(node) in top


def violations(root: Path) -> list[str]:
    """One line per broken rule: file:line module: rule."""
    found = []
    for layer in ("flows", "tasks", "graft"):
        for path in sorted((root / layer).rglob("*.py")):
            where = path.relative_to(root).as_posix()
            for line, module, top in imports(path):
                found += [f"{where}:{line} {module}: {rule}" for rule in broken(where, module, top)]
    return found


def broken(where: str, module: str, top: bool) -> Iterator[str]:
    package, _, rest = module.partition(".")
    layer = where.partition("/")[0]
    is_cli = where == "graft/cli.py"
    if layer == "tasks" and package == "flows":
        yield "tasks do not know flows"
    if layer == "graft" and package in ("flows", "tasks") and (top or not is_cli):
        yield "graft knows neither tasks nor flows (the command line alone may, inside a function)"
    if package in OUTSIDE and not where.startswith(OUTSIDE[package]):
        yield f"only in {' or '.join(OUTSIDE[package])}"
    if package in HEAVY and top:
        yield "heavy: import it inside the function that needs it"
    parts = where.split("/")
    if parts[0] == "graft" and parts[1] in KINDS and package == "graft" and not rest.startswith("core"):
        yield "a plug-in knows graft.core alone"
    if where.startswith("tasks/origins/") and package == "tasks" and not rest.startswith("origins._"):
        yield "an origin knows graft.core and its own helpers alone"


def test_no_import_breaks_a_rule() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("graft/core/spec.py", "import tasks.workspace", "neither tasks nor flows"),
        ("graft/cli.py", "import flows.train", "inside a function"),
        ("tasks/extract.py", "def f():\n    from flows import train", "tasks do not know flows"),
        ("graft/methods/full.py", "from graft.methods import linear_probe", "graft.core alone"),
        ("graft/backbones/convnet.py", "import tensorflow as tf", "heavy"),
        ("tasks/ingest.py", "def f():\n    import dvc.api", "only in tasks/adapters/"),
        ("graft/core/fit.py", "def f():\n    import prefect", "only in flows/"),
        ("tasks/origins/folder.py", "from tasks import workspace", "its own helpers"),
        ("tasks/publish.py", "def f():\n    import boto3", "only in graft/hub/"),
    ],
)
def test_a_planted_violation_is_named(tmp_path: Path, file: str, line: str, rule: str) -> None:
    for layer in ("flows", "tasks", "graft"):
        shutil.copytree(ROOT / layer, tmp_path / layer, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / file
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")
    found = violations(tmp_path)
    assert found and all(one.startswith(file) and rule in one for one in found), found


@pytest.mark.parametrize("command", ["import graft.cli", "import graft.hub.store", "import graft.core.settings"])
def test_the_light_path_loads_nothing_heavy(command: str) -> None:
    heavy = (*HEAVY, "prefect", "dvc")
    code = f"import sys; {command}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
