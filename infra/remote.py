"""A store that somebody else starts and stops: here it is looked at."""

from dataclasses import dataclass

from graft.core.errors import EnvironmentProblem
from graft.hub import conformance
from graft.hub.store import Store, check, environment
from infra.service import State


@dataclass(frozen=True)
class Remote:
    """The store that the environment names, as a Service."""

    store: Store
    name: str = "store"

    def start(self) -> list[str]:
        conformance.require(self.store)
        return [f"{self._where} is used, as the environment says; it keeps all {len(conformance.PROMISES)} promises"]

    def stop(self) -> list[str]:
        return [f"{self._where} is not of this workspace and stays as it is"]

    def state(self) -> State:
        facts = {"store": "remote", "endpoint": self.store.endpoint or "AWS", "bucket": self.store.bucket}
        try:
            check(self.store)
        except EnvironmentProblem as error:
            return State(False, {"state": f"down: {error}", **facts})
        return State(True, {"state": "up", **facts})

    def environment(self) -> dict[str, str]:
        return environment(self.store)

    @property
    def _where(self) -> str:
        return f"bucket {self.store.bucket} at {self.store.endpoint or 'AWS'}"
