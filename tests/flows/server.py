"""What a real Prefect server tells of its runs."""

import json
import urllib.request
from typing import Any


class Server:
    """A Prefect server's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def last_run(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.post("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
        return found[0]
