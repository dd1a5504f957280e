"""Who may import whom: flows -> tasks -> graft, plug-ins the core alone, heavy things where they are used."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.workspace import HELD_OUT, STAGES, Workspace

ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "graft", "infra")
KINDS = ("modalities", "backbones", "objectives", "methods", "scores", "distances", "metrics", "exports")
HEAVY = (
    *("tensorflow", "keras", "sklearn", "pandas", "pyarrow", "matplotlib", "boto3", "botocore", "great_expectations"),
    "optuna",
)
OUTSIDE = {  # module: where it may be imported
    "prefect": ("flows/",),
    "dvc": ("tasks/adapters/",),
    "git": ("tasks/adapters/",),
    "optuna": ("tasks/adapters/",),
    "great_expectations": ("tasks/adapters/",),
    "boto3": ("graft/hub/", "tasks/origins/s3.py", "tasks/origins/_s3/"),
    "botocore": ("graft/hub/", "tasks/origins/s3.py", "tasks/origins/_s3/"),
}


MEASURES = {f"tasks/{name}.py" for name in ("cells", "curve", "domains", "evaluate", "export", "insight", "report")}
"""What may read packed test rows: evaluation, curve and comparisons, the proof of the exported files, pages that show
mistakes; and `domains`, which puts them where comparisons ask them."""


def readers_of_test_rows(root: Path) -> set[str]:
    """Files that ask for packed test rows, or put their folder's name together themselves."""
    found = set()
    for path in [one for layer in LAYERS for one in (root / layer).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            asks = isinstance(node, ast.Attribute) and node.attr == "held_out"
            spells = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _names_test_rows(node.right)
            if asks or spells:
                found.add(path.relative_to(root).as_posix())
    return found


def _names_test_rows(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and str(node.value).split("/")[-1] in HELD_OUT


def test_test_rows_are_read_by_what_measures_alone() -> None:
    assert readers_of_test_rows(ROOT) == MEASURES


def test_reading_test_rows_elsewhere_is_noticed(tmp_path: Path) -> None:
    texts = {
        "asks": "rows = arrays.read(workspace.held_out('target', 'test'))",
        "spells": "rows = arrays.read(workspace.features / 'target' / 'test')",
        "learns": "rows = arrays.read(workspace.packed('target', 'train'))",
    }
    (tmp_path / "tasks").mkdir()
    for name, text in texts.items():
        (tmp_path / "tasks" / f"{name}.py").write_text(text)
    assert readers_of_test_rows(tmp_path) == {"tasks/asks.py", "tasks/spells.py"}


@pytest.mark.parametrize("split", HELD_OUT)
def test_who_learns_is_not_given_test_rows(split: str, tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    with pytest.raises(ValueError, match="have no say in any model"):
        place.packed("target", split)
    assert place.held_out("target", split) == tmp_path / "features" / "target" / split
    with pytest.raises(ValueError, match="is not held out"):
        place.held_out("target", "train")


def imports(root: Path, path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted module, whether importing the file imports it too) of every import in a file."""
    package = path.relative_to(root).parent.parts
    for node, loaded in nodes(ast.parse(path.read_text(encoding="utf-8")), True):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name, loaded) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{name.name}", loaded) for name in node.names)


def nodes(node: ast.AST, loaded: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, with whether it runs when the file is imported: not inside functions nor for type checkers."""
    for child in ast.iter_child_nodes(node):
        yield child, loaded
        waits = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        yield from nodes(child, loaded and not waits and not for_types)


def violations(root: Path) -> list[str]:
    """One line per broken rule: file:line module: rule."""
    found = []
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*.py")):
            where = path.relative_to(root).as_posix()
            for line, module, top in imports(root, path):
                found += [f"{where}:{line} {module}: {rule}" for rule in broken(where, module, top)]
    return found


def broken(where: str, module: str, top: bool) -> Iterator[str]:
    package, _, rest = module.partition(".")
    layer = where.partition("/")[0]
    is_cli = where.startswith("graft/commands/")
    if layer == "tasks" and package == "flows":
        yield "tasks do not know flows"
    if layer == "graft" and package in ("flows", "tasks") and (top or not is_cli):
        yield "graft knows neither tasks nor flows (the command line alone may, inside a function)"
    if package == "infra" and (layer in ("flows", "tasks") or (layer == "graft" and (top or not is_cli))):
        yield "the platform is started and stopped by the command line alone, inside a function"
    if layer == "infra" and (package == "flows" or (package == "tasks" and rest.split(".")[0] != "workspace")):
        yield "the platform knows graft and where things lie, not what runs"
    if layer == "infra" and package == "graft" and rest.split(".")[0] not in ("core", "hub"):
        yield "the platform knows graft.core and graft.hub alone"
    if package in OUTSIDE and not where.startswith(OUTSIDE[package]):
        yield f"only in {' or '.join(OUTSIDE[package])}"
    if package in HEAVY and top:
        yield "heavy: import it inside the function that needs it"
    parts = where.split("/")
    if parts[0] == "graft" and parts[1] in KINDS and package == "graft" and rest.partition(".")[0] != "core":
        yield "a plug-in knows graft.core alone"
    if where.startswith("tasks/origins/") and package == "tasks" and not rest.startswith("origins._"):
        yield "an origin knows graft.core and its own helpers alone"


def test_no_import_breaks_a_rule() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("graft/core/spec.py", "import tasks.workspace", "neither tasks nor flows"),
        ("graft/commands/pipeline.py", "import flows.train", "inside a function"),
        ("tasks/extract.py", "def f():\n    from flows import train", "tasks do not know flows"),
        ("graft/methods/full.py", "from graft.methods import linear_probe", "graft.core alone"),
        ("graft/backbones/convnet.py", "import tensorflow as tf", "heavy"),
        ("tasks/ingest.py", "def f():\n    import dvc.api", "only in tasks/adapters/"),
        ("tasks/tuning.py", "def f():\n    import optuna", "only in tasks/adapters/"),
        ("graft/core/fit.py", "def f():\n    import prefect", "only in flows/"),
        ("tasks/origins/folder.py", "from tasks import workspace", "its own helpers"),
        ("tasks/publish.py", "def f():\n    import boto3", "only in graft/hub/"),
        ("tasks/validate.py", "def f():\n    import great_expectations as gx", "only in tasks/adapters/"),
        ("flows/train.py", "def f():\n    from git import Repo", "only in tasks/adapters/"),
        ("graft/exports/tflite.py", "from .. import backbones", "graft.core alone"),
        ("graft/methods/full.py", "def f():\n    from .linear_probe import adapt", "graft.core alone"),
        ("graft/metrics/classification.py", "try:\n    import sklearn.metrics\nexcept ImportError:\n    pass", "heavy"),
        ("tasks/adapters/manifest.py", "class A:\n    from pandas import DataFrame", "heavy"),
        ("flows/show.py", "from matplotlib import pyplot", "heavy"),
        ("graft/scores/new.py", "from graft.hub import store", "graft.core alone"),
        ("graft/hub/store.py", "def f():\n    import infra.weed", "command line alone"),
        ("graft/commands/platform.py", "from infra import services", "inside a function"),
        ("tasks/fetch.py", "def f():\n    from infra import store", "command line alone"),
        ("flows/train.py", "import infra.store", "command line alone"),
        ("infra/bucket.py", "from tasks import ingest", "not what runs"),
        ("infra/store.py", "def f():\n    from flows import train", "not what runs"),
        ("infra/store.py", "from graft.methods import full", "graft.core and graft.hub alone"),
        ("infra/bucket.py", "def f():\n    import boto3", "only in graft/hub/"),
    ],
)
def test_a_planted_violation_is_named(tmp_path: Path, file: str, line: str, rule: str) -> None:
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, tmp_path / layer, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / file
    target.parent.mkdir(exist_ok=True)
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")
    found = violations(tmp_path)
    assert found and all(one.startswith(file) and rule in one for one in found), found


def test_what_is_allowed_is_not_named(tmp_path: Path) -> None:
    allowed = {
        "flows/a.py": "import prefect\nfrom tasks import ingest\nfrom graft.core import errors",
        "tasks/adapters/a.py": "def f():\n    import dvc.api, git, great_expectations",
        "tasks/origins/s3.py": "from tasks.origins import _glyphs\ndef f():\n    import boto3",
        "graft/hub/a.py": "def f():\n    import boto3\n    from botocore.config import Config",
        "graft/methods/a.py": "from graft.core import fit\nfrom ..core import probe\ndef f():\n    import keras",
        "graft/core/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import keras",
        "graft/commands/pipeline.py": "def f():\n    import flows.train, tasks.ingest, infra.store",
        "infra/a.py": "from graft.core import errors\nfrom graft.hub import store\nimport tasks.workspace",
    }
    for file, content in allowed.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content)
    assert violations(tmp_path) == []


LIGHT = {
    "the command line": "import graft.cli",
    "its help": "import sys; sys.argv = ['graft', '--help']; import graft.cli; graft.cli.app(standalone_mode=False)",
    "the store": "import graft.hub.store, graft.hub.conformance",
    "the platform": "import infra.services",
    "settings and plug-ins": "import graft.core.settings, graft.core.plugins, tasks.choices",
    "every stage": f"import {', '.join(f'tasks.{stage}' for stage in STAGES)}",
}


@pytest.mark.parametrize("what", LIGHT)
def test_the_light_path_loads_nothing_heavy(what: str) -> None:
    heavy = (*HEAVY, "prefect", "dvc")
    code = f"import sys; {LIGHT[what]}; print('loaded', [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
