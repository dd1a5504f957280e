"""One real workspace, made tiny, run once by the real command; tests look at it or copy it."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.core import settings
from tasks.choices import Choices
from tests import released as releases
from tests.store import Server, weed

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # nets of the tests themselves compute as those of stages do

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TINY = (
    "data.modality={name: image, size_px: 32}",
    "data.source.origin={name: shapes, images_per_class: 40}",
    "data.target.origin={name: shapes, images_per_class: 40}",
    "validate.min_brightest=0.5",  # a few pictures are dark then, and the gate has something to show
    "pretrain.backbone={name: convnet, width: 8}",
    "pretrain.epochs=2",
    "finetune.labels_per_class=5",
    "finetune.steps=24",
    "finetune.evaluations=3",
    "finetune.batch_size=16",
    "finetune.learning_rates=[0.003]",
    "evaluate.seeds=2",
    "evaluate.bootstrap=100",
    "export.min_agreement=0",
    "export.max_accuracy_drop_points=100",
    "export.hard_stop_points=100",
    "export.formats=[{name: tflite, precision: float32}, {name: tflite, precision: int8}]",
    "export.prefer={name: first, within_points: 100.0}",
    "retrain.curve=false",
)
CHROMIUM = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--window-size=1200,900",
)
COPIED = (
    "graft",
    "tasks",
    "flows",
    "infra",
    "params.yaml",
    "search.yaml",
    "compare.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "requirements.lock",
)


LONG = (
    "flows/test_faults",
    "flows/test_compare",
    "browser/test_platform",
    "infra/",
    "browser/test_retrain_pages",
    "flows/",
    "test_cli",
    "browser/",
    "tasks/",
    "contracts/",
    "hub/",
)
"""Files that take longest go first: what is left to one process at the end is short. The first makes the finished
workspace, and those that start beside it can do without."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within a file tests stay in order."""

    def rank(item: pytest.Item) -> int:
        where = item.path.relative_to(ROOT / "tests").as_posix()
        return next((index for index, long in enumerate(LONG) if where.startswith(long)), len(LONG))

    items.sort(key=rank)


@dataclass(frozen=True)
class Place:
    """A workspace and the environment of the commands that run in it."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a program of the project's environment here."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def begin(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a program here, for a test that disturbs it; what it says comes through a pipe."""
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("graft", *arguments)

    def set(self, *assignments: str) -> None:
        settings.set_values(self.root / "params.yaml", list(assignments), Choices.of)

    def copy(self, to: Path) -> "Place":
        """The same workspace elsewhere, DVC's cache and Prefect's database included."""
        shutil.copytree(self.root, to, symlinks=True)
        return Place(to, self.environment | {"PYTHONPATH": str(to)})


def _environment(root: Path, home: Path) -> dict[str, str]:
    """This process's environment without anybody's settings; the workspace's own modules are what runs.

    Stages use one core. With two they would train in two processes: to load TensorFlow twice takes longer than these
    trainings do, and there are other tests to run.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "GRAFT_", "AWS_", "DVC_", "XDG_", "PYTEST_"))
    }
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "PYTHONWARNINGS": "default",
        "HOME": str(home),
        "GRAFT_CACHE": str(home / "cache"),
        "GRAFT_CORES": "1",
        "COLUMNS": "160",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def make_place(root: Path, home: Path) -> Place:
    """A fresh clone's content in `root`, tiny settings, a home of its own, a real git repository."""
    root.mkdir(parents=True)
    home.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    environment = _environment(root, home)
    place = Place(root, environment)
    place.set(*TINY)
    for command in (("init", "-q"), ("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=root, env=environment, check=True, capture_output=True)
    return place


Finished = tuple[Place, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the test processes of one session have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def packages(shared: Path) -> Path:
    """A cache for the icon packages of npm: each is downloaded once, whichever tests look at it. Nobody changes it."""
    folder = shared / "packages"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def finished(shared: Path) -> Finished:
    """A workspace in which `graft run` ended, and what it printed. Nobody changes it: copy it first."""
    folder = shared / "finished"
    folder.mkdir(exist_ok=True)
    place = Place(folder / "clone", _environment(folder / "clone", folder / "home"))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done.json").exists():
            make_place(folder / "clone", folder / "home")
            done = place.graft("run")
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "done.json").write_text(json.dumps([done.stdout, done.stderr]))
    stdout, stderr = json.loads((folder / "done.json").read_text())
    return place, subprocess.CompletedProcess(["graft", "run"], 0, stdout, stderr)


@pytest.fixture(scope="session")
def released(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished workspace's release in a folder, as `graft pull -o` makes it. Nobody changes it."""
    return releases.folder(finished[0].root, tmp_path_factory.mktemp("released") / "shapes")


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server: a run need not start one of its own, which takes longer than most tests."""
    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder) as url:
        yield url


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """Start a Prefect server on a free port, wait until it is healthy, stop it by its own id."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    home = folder / "home"
    home.mkdir()
    url = f"http://127.0.0.1:{port}/api"
    environment = _environment(folder, home) | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": url,  # its pages would ask port 4200
        "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: _healthy(url), 120, "a healthy Prefect server")
        yield url
    finally:
        stop(process)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End one process that a test started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(ask: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `ask` answers as soon as that is true."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.1)
    return answer


@pytest.fixture
def place(prefect_url: str, tmp_path: Path) -> Place:
    """A workspace in which nothing ran yet."""
    made = make_place(tmp_path / "clone", tmp_path / "home")
    return Place(made.root, made.environment | {"PREFECT_API_URL": prefect_url})


@pytest.fixture
def copied(finished: Finished, prefect_url: str, tmp_path: Path) -> Place:
    """The finished workspace, to be changed."""
    place = finished[0].copy(tmp_path / "clone")
    return Place(place.root, place.environment | {"PREFECT_API_URL": prefect_url, "HOME": str(tmp_path)})


@pytest.fixture
def browser(window: Any) -> Iterator[Any]:
    """The window of a test; a page of Prefect that stays open would be drawn anew all the time."""
    yield window
    window.get("about:blank")


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium; nothing is downloaded for it."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Debian's chromium and chromium-driver are not installed; `make check` installs them where it may")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SE_OFFLINE", "true")  # selenium would look for a driver on the web
        opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        yield opened
        opened.quit()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server with one bucket. Tests share it: each keeps to a prefix of its own."""
    with weed(tmp_path_factory.mktemp("s3")) as running:
        yield running.server


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's AWS settings, profiles or proxies."""
    import boto3

    for name in list(os.environ):
        if name.startswith(("AWS_", "GRAFT_")):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    boto3.setup_default_session()  # it keeps the first credentials that it finds


@pytest.fixture
def credentials(no_aws: None, s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server and the key that it knows, in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
