"""A worker of a search whose trials take no time: takes trial after trial and ends them, until all are done.

python -m tests.tasks.searcher FOLDER TRIALS [SECONDS_A_FOLD]
"""

import sys
import time
from pathlib import Path

from graft.core.search import Caps, OneOf, Range, Search
from tasks.adapters.study import Study

SPACE = {
    "finetune.learning_rates": Range(type="float", low=0.001, high=0.1, log=True),
    "finetune.method": OneOf(choices=({"name": "full"}, {"name": "gradual"})),
}
START = {"finetune.learning_rates": 0.003, "finetune.method": {"name": "full"}}


def study(folder: Path, trials: int, pruner: str = "hyperband") -> Study:
    said = {"trials": trials, "sampler": "tpe", "pruner": pruner, "folds": 3, "seeds": 1, "fresh": 5}
    search = Search(**said, caps=Caps(minutes=1, memory_mb=100), space={"x": {}})
    return Study(folder, "little", search, SPACE, 7)


def main(folder: Path, trials: int, seconds: float = 0.02) -> None:
    shared = study(folder, trials)
    shared.begin([START], {"defaults": START})
    while True:
        share, trial = shared.take()
        if share == "done":
            return
        if trial is None:
            time.sleep(0.02)
            continue
        value = trial.values["finetune.learning_rates"]
        for fold in (1, 2, 3):
            time.sleep(seconds)
            if trial.report(value, fold) and fold < 3:
                trial.prune()
                break
        else:
            trial.complete(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))
