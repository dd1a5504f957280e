"""What the pipeline does, a module a stage; its processes start without what none of them uses."""

from tasks.adapters import light

light.leave_out()  # here: a worker process that is spawned imports the module of its job, and nobody is asked before
