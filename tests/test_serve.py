"""`graft serve` as a person types it: with the light installation alone, until Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image

import graft
from tests.conftest import ROOT
from tests.test_edge import canonical, light_installation

PROGRAM = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FOREIGN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from graft.cli import main
main()
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command where nothing is installed but what `pip install` of the project without extras brings."""
    light = light_installation()
    owners = metadata.packages_distributions().items()
    foreign = {name for name, own in owners if not {canonical(one) for one in own} & light}
    assert "tensorflow" in foreign and "jinja2" in foreign and "typer" not in foreign
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GRAFT_"))}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("FOREIGN", repr(foreign)), "serve", *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_folder_is_served_until_ctrl_c(released: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with started(str(released), "--port", "0", "--no-open") as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.fullmatch(r"shapes@v1 answers at (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", line)
            assert found, line + process.communicate(timeout=60)[1]
            request = urllib.request.Request(f"{found[1]}predict?map=1", (tmp_path / "a.png").read_bytes())
            with urllib.request.urlopen(request, timeout=60) as response:
                said = response.read().decode()
            assert f'"label": "{graft.load(released).predict(tmp_path / "a.png").labels[0]}"' in said
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("ended\n", "")
        finally:
            process.kill()
    assert process.returncode == 0


def test_a_port_in_use_is_an_environment_problem_in_one_line(released: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with started(str(released), "--port", str(port), "--no-open") as process:
            said = process.communicate(timeout=60)
    way_out = "name another with --port, or --port 0 for any free one"
    assert process.returncode == 3 and said == ("", f"graft: port {port} of 127.0.0.1 is in use; {way_out}\n")


def test_other_machines_are_let_in_with_a_note_and_nowhere_is_no_host(released: Path) -> None:
    with started(str(released), "--port", "0", "--no-open", "--host", "0.0.0.0") as process:
        line = process.stdout.readline() if process.stdout else ""
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)
    assert line.startswith("shapes@v1 answers at http://127.0.0.1:")
    note = "graft: note: whoever reaches this machine may ask; there is no login and no encryption\n"
    assert (process.returncode, *said) == (0, "ended\n", note)
    with started(str(released), "--host", "", "--no-open") as process:
        said = process.communicate(timeout=60)
    assert (process.returncode, *said) == (2, "", "graft: --host is empty; name an address, as 127.0.0.1\n")


def test_what_is_no_release_is_not_served(tmp_path: Path) -> None:
    with started(str(tmp_path), "--no-open") as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and said.startswith(f"graft: {tmp_path} holds no release") and said.count("\n") == 1
