"""One platform for the faults of a session: up before each, and looked at by the oracle after each."""

from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.faults.oracle import Oracle
from tests.faults.platform import Platform, platform


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Oracle]]:
    with platform(tmp_path_factory.mktemp("faults")) as running:
        yield running, Oracle(running)


@pytest.fixture
def live(looked_at: tuple[Platform, Oracle]) -> Iterator[Platform]:
    """A platform that is up, with a release at prod; after the test nothing is at work there and nothing is wrong."""
    running, oracle = looked_at
    running.up()
    yield running
    running.up()
    wait_until(running.is_quiet, 300, "all runs ended")
    assert oracle.complaints() == []
