"""Takes part in several trainings, one after the other: ``RANK=… WORLD_SIZE=… python together.py MEETING SPEC…``.

Starting a process costs more than these trainings do.
"""

import sys
from dataclasses import replace
from pathlib import Path

from tunewright.support.environment import prepare_environment, quieten_libraries
from tunewright.training.launch.job import Job
from tunewright.training.launch.strategies import strategy_of
from tunewright.training.launch.worker import joined, take_part

if __name__ == "__main__":
    prepare_environment()
    quieten_libraries()
    specs = [Path(word) for word in sys.argv[2:]]
    with joined(Job.read(specs[0]).recipe, Path(sys.argv[1])) as group:
        for spec in specs:
            job = Job.read(spec)
            take_part(job, spec.parent, replace(group, strategy=strategy_of(job.recipe)))
