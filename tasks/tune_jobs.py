"""A search's trials in jobs that may be done anywhere. What they read is what finetune's trainings do: no test rows."""

from pathlib import Path

from tasks import finetune, jobs, works
from tasks.adapters import files
from tasks.jobs import Due, Job, Send
from tasks.tune import Job as Trial
from tasks.tuning import Plan


def due(planned: Plan, study: str, trial: Trial, send: Send, times: float = 1.0) -> Due:
    """The job that measures a trial.

    Args:
        study: whose trial it is; another study's of the same settings may be stopped at another time.
        times: of the caps' minutes.
    """
    kept = Path(trial.kept)
    said = {
        "study": [study, kept.name],
        "job": trial._asdict() | {"name": kept.name, "kept": "", "pretrained": ""},
        "classes": files.read_json(planned.place.classes),
        "backbone": Path(trial.pretrained).name if trial.pretrained else "",
        "limits": planned.limits(times).model_dump(),
    }
    reads = {name: send(folder) for folder, name in finetune.inputs(planned.place).items()}
    return Due(Job("trial", trial.name, reads, said, jobs.code()), kept, works.SCORES)
