"""The pipeline in Dagster: ``dagster dev -m tunewright.pipeline.dagster`` in a project shows and runs it.

Assets, checks, jobs, sensors and schedules are made from the table of steps, and call the same functions as
``tunewright run``: what one of them ran, the other finds done. Dagster decides when, DVC whether.
"""

from tunewright.pipeline.dagster.definitions import definitions

defs = definitions()

__all__ = ["definitions", "defs"]
