"""What the pipeline does, a module a stage; its processes start without what none of them uses."""

from tasks.adapters import light

light.leave_out()
