"""Tell a web hook what happened, if one is named: a small JSON document; that it is not heard is no reason to fail."""

import json
import os
import time
import urllib.request
from urllib.parse import urlsplit

from graft.core.errors import one_line

SETTING = "GRAFT_WEBHOOK"
PATIENCE_S, TRIES, WAIT_S = 5.0, 2, 1.0


def tell(event: str, text: str, **facts: str) -> str:
    """Post `{"event": event, "text": text, ...}` to the URL in GRAFT_WEBHOOK. The URL may be a secret and is not shown.

    Returns:
        "" if it was told or nobody wants to know; else what went wrong.
    """
    url = os.environ.get(SETTING, "")
    if not url:
        return ""
    where = urlsplit(url)
    if where.scheme not in ("http", "https"):
        return f"{SETTING} is no http or https URL; nobody was told"
    body = json.dumps({"event": event, "text": text, **facts}).encode()
    problem = ""
    for attempt in range(TRIES):
        time.sleep(WAIT_S * attempt)
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S):
                return ""
        except (OSError, ValueError) as error:
            problem = one_line(str(error), 100)
    return f"{SETTING} at {where.hostname}: {problem}; nobody was told of: {event}"
