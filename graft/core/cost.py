"""What a training costs: seconds, processor seconds, peak memory, and energy where the machine counts it."""

import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

COUNTERS = Path("/sys/class/powercap")
"""Where Linux shows the processor's own energy counters (RAPL). Libraries that estimate energy from a table of
processors where there are none would put a figure here that nobody measured."""


@dataclass(frozen=True)
class Cost:
    """Of one training or of several together.

    Attributes:
        trainings: how many.
        seconds: of wall-clock time, one after the other; others may have run beside them.
        cpu_seconds: of processor time, all threads.
        peak_memory_mb: most resident memory of the process that trained, in 2**20 bytes.
        energy_wh: this process's part of what the processor's packages used, by its share of all processor time that
            was not idle; None where the machine does not count or does not say. Graphics cards are left out.
    """

    trainings: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: int = 0
    energy_wh: float | None = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        known = self.energy_wh is not None and other.energy_wh is not None
        return Cost(
            self.trainings + other.trainings,
            round(self.seconds + other.seconds, 2),
            round(self.cpu_seconds + other.cpu_seconds, 2),
            max(self.peak_memory_mb, other.peak_memory_mb),
            (self.energy_wh or 0.0) + (other.energy_wh or 0.0) if known else None,
        )


@dataclass(frozen=True)
class Meter:
    """The counters of this process and machine at one moment."""

    clock: float
    cpu: float
    busy: float
    joules: Mapping[str, float]

    @classmethod
    def now(cls, counters: Path = COUNTERS) -> "Meter":
        return cls(time.monotonic(), time.process_time(), _busy_seconds(), joules(counters))

    def until(self, later: "Meter") -> Cost:
        """What was used between both; the peak is that since `_forget_peak`."""
        cpu = later.cpu - self.cpu
        share = min(1.0, cpu / max(later.busy - self.busy, cpu, 1e-9))
        used = [later.joules[name] - start for name, start in self.joules.items() if name in later.joules]
        counted = used and min(used) >= 0  # a counter that has begun anew in between tells nothing
        return Cost(
            1,
            round(later.clock - self.clock, 2),
            round(cpu, 2),
            _peak_memory_mb(),
            share * sum(used) / 3600 if counted else None,
        )


@contextmanager
def metered(counters: Path = COUNTERS) -> Iterator[list[Cost]]:
    """Count what the block costs, also where it raises: a list that holds the cost once the block has ended."""
    told: list[Cost] = []
    _forget_peak()
    start = Meter.now(counters)
    try:
        yield told
    finally:
        told.append(start.until(Meter.now(counters)))


def total(costs: list[Cost]) -> Cost:
    """Of all together; of none, none."""
    return sum(costs, Cost(trainings=0))


def joules(counters: Path) -> dict[str, float]:
    """By package, what its counter shows; empty where there is none or it may not be read (only root may, often)."""
    found = {}
    for path in sorted(counters.glob("*-rapl:*/energy_uj")):
        if path.parent.name.count(":") == 1:  # a package; its parts have a second colon
            try:
                found[path.parent.name] = int(path.read_text(encoding="ascii")) / 1e6
            except (OSError, ValueError):
                return {}
    return found


def _busy_seconds() -> float:
    """Processor time of everything on this machine that was not idle; this process's alone where it does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return time.process_time()
    user, nice, system, _idle, _waiting, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _forget_peak() -> None:
    """Linux: let the peak of resident memory begin anew, where this process may say so."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak since the process began is told then


def _peak_memory_mb() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // (1024 if sys.platform == "linux" else 1024**2)


def as_json(cost: Cost) -> dict[str, Any]:
    """As written in reports."""
    return asdict(cost) | {"energy_wh": None if cost.energy_wh is None else round(cost.energy_wh, 4)}
