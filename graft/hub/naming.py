"""What a bucket and an endpoint may be called: asked before anything is sent."""

import re
from urllib.parse import urlsplit

from graft.core.errors import EnvironmentProblem, one_line

_BUCKET = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")
_NEVER = frozenset(" '\"\\<>@?#")


def check_bucket(bucket: str) -> None:
    """Refuse what no bucket can be called.

    Raises:
        EnvironmentProblem: it names what was found and what would do.
    """
    if not _BUCKET.fullmatch(bucket):
        raise EnvironmentProblem(
            f"GRAFT_BUCKET is '{one_line(bucket, 80)}', which no bucket is called: "
            "3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends"
        )


def check_endpoint(endpoint: str) -> None:
    """Refuse what is no base URL of a server, a password in it too.

    Raises:
        EnvironmentProblem: it names what was found and what would do.
    """
    if not _is_endpoint(endpoint):
        shown = one_line(re.sub(r"//.*@", "//...@", endpoint), 120)  # a password may be in it
        raise EnvironmentProblem(
            f"AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) is '{shown}'; it has to look like https://host or http://host:port"
        )


def _is_endpoint(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & _NEVER
    return plain and url.scheme in ("http", "https") and bool(url.hostname) and port != 0
