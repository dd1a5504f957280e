"""Where tasks run: this machine's processes, a Dask cluster or a Ray cluster, each by Prefect's own task runner.

An address comes from the environment (DASK_SCHEDULER_ADDRESS, RAY_ADDRESS). Without one a cluster of this machine's
cores is started, and ends with the run.
"""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from graft.core.errors import EnvironmentProblem, one_line
from graft.core.processes import workers_for
from graft.hub import store
from tasks.adapters import quiet

On = Literal["local", "dask", "ray"]
ADDRESS = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}
EXAMPLE = {"dask": "tcp://scheduler:8786", "ray": "ray://head:10001"}
NEEDS = {"dask": ("distributed", "prefect_dask"), "ray": ("ray", "prefect_ray")}
CONNECT_S = 10
_ADDRESS = re.compile(r"(?:[a-z]+://)?([A-Za-z0-9_.-]+|\[[0-9a-f:]+\]):([0-9]{1,5})")
ONE_THREAD = {name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
MOST = 1_000


def require(on: On) -> None:
    """Look whether tasks can run there, before anything else is done.

    Raises:
        EnvironmentProblem: the engine is not installed, nothing answers at its address, or no store is named.
    """
    if on == "local":
        return
    store.known()  # what jobs read and make travels through it
    if any(find_spec(name) is None for name in NEEDS[on]):
        raise EnvironmentProblem(f"--on {on} needs an extra that is not installed here; install graft[{on}]")
    address = os.environ.get(ADDRESS[on], "")
    if address in ("", "auto"):
        return
    named = _ADDRESS.fullmatch(address)
    if not named:
        raise EnvironmentProblem(f"{ADDRESS[on]} is {one_line(address, 100)!r}; {EXAMPLE[on]} is what one looks like")
    try:
        socket.create_connection((named[1].strip("[]"), int(named[2])), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(on, address, error) from None


def runner(on: On, folder: Path) -> Any:
    """Prefect's task runner of an engine, its cluster looked at.

    Args:
        folder: where a cluster of this machine may keep what it spills.

    Raises:
        EnvironmentProblem: as `require`; or what answers there is no such cluster, or one without workers.
    """
    require(on)
    os.environ |= store.environment(store.known())
    address = os.environ.get(ADDRESS[on], "")
    return _dask(address, folder) if on == "dask" else _ray(address)


@contextmanager
def environment_kept() -> Iterator[None]:
    """What changes in this process's environment in the block is undone at its end.

    Dask sets OMP_NUM_THREADS and the like for workers of its own in the process that starts them; in stages that follow
    they would change how sums are rounded.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before


def _dask(address: str, folder: Path) -> Any:
    from distributed import Client
    from prefect_dask import DaskTaskRunner

    if not address:
        folder.mkdir(parents=True, exist_ok=True)
        return DaskTaskRunner(cluster_kwargs=_own_dask(folder))
    try:
        with Client(address, timeout=CONNECT_S, set_as_default=False) as client:
            workers = len(client.scheduler_info(n_workers=-1)["workers"])
    except (OSError, ValueError) as error:
        raise _no_answer("dask", address, error) from None
    if not workers:
        raise EnvironmentProblem(f"the Dask scheduler at {address} has no workers; start some: dask worker {address}")
    return DaskTaskRunner(address=address)


def _own_dask(folder: Path) -> dict[str, Any]:
    """A cluster of this machine; what libraries say in its workers goes to a file, as a person watches the terminal."""
    return {
        "n_workers": workers_for(MOST),
        "threads_per_worker": 1,
        "env": {**ONE_THREAD, quiet.LOG: str(folder / "log")},
        "preload": ["tasks.adapters.quiet"],
        "dashboard_address": "127.0.0.1:0",
        "local_directory": str(folder),
        "silence_logs": logging.CRITICAL,
    }


def _ray(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray
    from prefect_ray import RayTaskRunner

    said: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": {"env_vars": ONE_THREAD}}
    if not address:
        own = {"num_cpus": workers_for(MOST), "include_dashboard": False}
        return RayTaskRunner(init_kwargs=said | own)
    try:
        ray.init(address, **said)
        ray.shutdown()
    except (OSError, ValueError, RuntimeError) as error:
        raise _no_answer("ray", address, error) from None
    return RayTaskRunner(address=address, init_kwargs=said)


def _no_answer(on: On, address: str, error: Exception) -> EnvironmentProblem:
    said = one_line(str(error), 200)
    return EnvironmentProblem(f"no {on.title()} cluster answers at {address} ({said}); check {ADDRESS[on]}")
