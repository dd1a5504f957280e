"""What a training costs, from this process's and this machine's own counters."""

import sys
from pathlib import Path

import numpy as np
import pytest

from graft.core.cost import Cost, Meter, as_json, joules, metered, total

MB = 2**20


def counters(folder: Path, **packages: int) -> Path:
    """A folder as Linux shows energy: a package each, in microjoules, and a part of the first."""
    for name, microjoules in packages.items():
        for part in (f"intel-rapl:{name[1:]}", f"intel-rapl:{name[1:]}:0"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / "energy_uj").write_text(f"{microjoules}\n")
    return folder


def test_work_takes_seconds_of_the_clock_and_of_the_processor() -> None:
    with metered() as told:
        np.linalg.svd(np.random.default_rng(0).normal(size=(300, 300)))
    assert told[0].seconds > 0 and told[0].cpu_seconds > 0


def test_the_cost_of_what_fails_is_counted_too() -> None:
    with pytest.raises(ValueError, match="diverged"), metered() as told:
        raise ValueError("diverged")
    assert told[0].trainings == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let a peak of memory begin anew")
def test_the_peak_is_that_of_the_block_and_not_of_an_earlier_one() -> None:
    with metered() as small_before:
        pass
    with metered() as large:
        held = np.ones(300 * MB, np.uint8)
        del held
    with metered() as small_after:
        pass
    assert large[0].peak_memory_mb >= small_before[0].peak_memory_mb + 250
    assert small_after[0].peak_memory_mb <= large[0].peak_memory_mb - 250


def test_energy_is_that_of_all_packages_and_not_of_their_parts(tmp_path: Path) -> None:
    assert joules(counters(tmp_path, p0=3_000_000, p1=4_500_000)) == {"intel-rapl:0": 3.0, "intel-rapl:1": 4.5}


def test_a_process_is_given_its_share_of_the_energy() -> None:
    start, end = Meter(0.0, 10.0, 100.0, {"0": 50.0}), Meter(5.0, 12.0, 108.0, {"0": 7250.0})
    told = start.until(end)
    assert (told.seconds, told.cpu_seconds) == (5.0, 2.0)
    assert told.energy_wh == pytest.approx(7200 / 3600 * 2 / 8)


def test_a_counter_that_began_anew_or_is_not_there_gives_no_energy(tmp_path: Path) -> None:
    assert Meter(0, 0, 0, {"0": 9.0}).until(Meter(1, 1, 1, {"0": 2.0})).energy_wh is None
    assert Meter.now(tmp_path).until(Meter.now(tmp_path)).energy_wh is None


def test_costs_add_up_and_peaks_do_not() -> None:
    one, other = Cost(1, 2.0, 1.5, 700, 0.25), Cost(2, 3.0, 2.5, 600, 0.5)
    assert total([one, other]) == Cost(3, 5.0, 4.0, 700, 0.75)
    assert total([]) == Cost(trainings=0)


def test_what_was_not_counted_once_is_not_known_of_all() -> None:
    assert as_json(total([Cost(energy_wh=None), Cost(energy_wh=1.0)]))["energy_wh"] is None
