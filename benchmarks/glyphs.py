"""How fast the default data are composed; whether a seed always gives the same bytes: python -m benchmarks.glyphs"""

import hashlib
import time

from benchmarks import record
from graft.core.dataset import Request
from tasks.ingest import cache_folder
from tasks.origins import glyphs

SEED = 7


def main() -> None:
    """Compose both domains twice; images per second of each pass, packages already cached."""
    list(glyphs.fetch(glyphs.Options(images_per_class=4), _request("plants")))  # fills the cache
    passes = [_compose(domain) for domain in ("animals", "plants") for _ in range(2)]
    same = all(a["sha256"] == b["sha256"] for a, b in zip(passes[::2], passes[1::2], strict=True))
    record.write("glyphs", ("pillow", "resvg-py", "numpy"), [SEED], {"passes": passes, "same_bytes": same})


def _compose(domain: str) -> dict[str, object]:
    started, digest, count, size = time.perf_counter(), hashlib.sha256(), 0, 0
    for picture in glyphs.fetch(glyphs.Options(), _request(domain)):
        digest.update(picture.data)
        count, size = count + 1, size + len(picture.data)
    seconds = time.perf_counter() - started
    return {
        "domain": domain,
        "images": count,
        "seconds": round(seconds, 2),
        "images_per_second": round(count / seconds),
        "mean_bytes": round(size / count),
        "sha256": digest.hexdigest(),
    }


def _request(domain: str) -> Request:
    return Request(domain, SEED, 64, cache_folder())


if __name__ == "__main__":
    main()
