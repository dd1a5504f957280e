"""What `graft up`, `down` and `status` ask of each part of the platform."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class State:
    """What a service is found to be.

    Attributes:
        facts: what to show, by name, in order.
    """

    is_up: bool
    facts: Mapping[str, str]


class Service(Protocol):
    """A part of the platform; starting what is up and stopping what is down change nothing."""

    @property
    def name(self) -> str:
        """One word."""

    def start(self) -> list[str]:
        """Have it up when this returns; what was done, a line each. Raises EnvironmentProblem."""

    def stop(self) -> list[str]:
        """Have it down when this returns; what was done. Raises EnvironmentProblem."""

    def state(self) -> State:
        """Look, and change nothing."""

    def environment(self) -> dict[str, str]:
        """What other programs need in their environment to use it; no secrets."""
