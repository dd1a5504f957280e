"""What a browser needs to run a release's file by itself, beside the page: the runtime, the file, and how."""

from importlib.resources import files

from graft.hub.cache import Pulled
from graft.serving import runtime

KINDS = {"js": "text/javascript; charset=utf-8", "wasm": "application/wasm", "tflite": "application/octet-stream"}


def offered(release: Pulled, file: str = "") -> dict[str, tuple[str, bytes]]:
    """Kind and bytes by path.

    Args:
        file: which of the release's files; "" is the one that its receipt names.

    Raises:
        EnvironmentProblem: the runtime is neither in the cache nor to be had.
    """
    found = {f"/runtime/{name}": content for name, content in runtime.files().items()}
    found["/browser.js"] = files("graft.serving").joinpath("browser.js").read_bytes()
    found["/file.tflite"] = (release.folder / (file or release.receipt.contents.model.file)).read_bytes()
    return {path: (KINDS[path.rpartition(".")[2]], content) for path, content in found.items()}
