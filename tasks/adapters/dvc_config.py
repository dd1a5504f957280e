"""Where DVC's remote is, told to DVC itself: plain dvc push, dvc pull and dvc repro --pull then work too."""

import io
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, one_line
from graft.hub.store import Store
from tasks.adapters.files import written_aside

REMOTE = "store"
PREFIX = "dvc/"
CONNECT_S, READ_S = 5, 30
_SECTION = f'remote "{REMOTE}"'


def point_at(root: Path, store: Store, region: str) -> bool:
    """Write the remote into .dvc/config.local, which git ignores; no secret goes there. Whether anything changed.

    A default remote that somebody chose stays the default.

    Raises:
        BadInput: the file is there and cannot be read.
    """
    path = root / ".dvc" / "config.local"
    config = _read(path)
    before = _text(config)
    config[_SECTION] = _remote(store, region)
    config.setdefault("core", {}).setdefault("remote", REMOTE)
    if _text(config) == before:
        return False
    with written_aside(path) as aside:
        aside.write_text(_text(config), encoding="utf-8")
    return True


def cache_folder(root: Path) -> Path:
    """The cache of the workspace: .dvc/cache, or what `cache.dir` says."""
    said = [_read(root / ".dvc" / name).get("cache", {}).get("dir", "") for name in ("config", "config.local")]
    chosen = said[1] or said[0]
    return root / ".dvc" / (Path(chosen).expanduser() if chosen else "cache")


def share_cache(root: Path, cache: Path) -> None:
    """Let the worktree `root` keep its objects in `cache`, with what others made."""
    path = root / ".dvc" / "config.local"
    config = _read(path)
    config.setdefault("cache", {})["dir"] = str(cache)
    with written_aside(path) as aside:
        aside.write_text(_text(config), encoding="utf-8")


def link_types(root: Path) -> set[str]:
    """How DVC may bring a file from the cache into the workspace, as the workspace's own configuration says."""
    said = [_read(root / ".dvc" / name).get("cache", {}).get("type", "") for name in ("config", "config.local")]
    chosen = said[1] or said[0]  # ConfigObj makes a list of what has commas and no quotes
    return {one.strip() for one in (chosen.split(",") if isinstance(chosen, str) else chosen)}


def keep_private(root: Path) -> None:
    """Nobody else may write where DVC keeps objects and its own, pickled, state. A shared cache is left as it is."""
    own = root / ".dvc"
    for folder in {own / "cache", own / "tmp"} & {own / "tmp", cache_folder(root)}:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def _remote(store: Store, region: str) -> dict[str, str]:
    """What DVC has to know. `verify`: without it DVC takes whatever bytes come from S3."""
    known = {
        "url": f"s3://{store.bucket}/{PREFIX.rstrip('/')}",
        "endpointurl": store.endpoint,
        "region": region,
        "profile": store.profile,
        "credentialpath": str(store.credentials or ""),
    }
    fixed = {"verify": "true", "connect_timeout": str(CONNECT_S), "read_timeout": str(READ_S)}
    return {name: value for name, value in known.items() if value} | fixed


def _read(path: Path) -> Any:
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

    try:
        return ConfigObj(str(path), encoding="utf-8", interpolation=False)
    except (ConfigObjError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({one_line(str(error), 120)}); mend or remove it") from None


def _text(config: Any) -> str:
    written = io.BytesIO()
    config.write(written)
    return written.getvalue().decode()
