"""When things run: files that arrive, labels that arrive, a signal from outside, the clock.

Dagster reads annotations as they are, and refuses the strings that `from __future__ import annotations` makes of them.
"""

import json
from collections.abc import Iterator

import dagster as dg

from tunewright.config.schema import Orchestration
from tunewright.pipeline.arrivals import Arrival, Seen, look
from tunewright.pipeline.dagster.jobs import JOBS
from tunewright.pipeline.dagster.resource import open_project
from tunewright.pipeline.signals import pending
from tunewright.pipeline.steps import LABELLED
from tunewright.support.digests import digest_tree

Requests = Iterator[dg.RunRequest | dg.SkipReason]


def sensors(settings: Orchestration) -> list[dg.SensorDefinition]:
    """Make the sensors; all are on as soon as a daemon runs."""
    return [_incoming(settings), _labels(settings), _signals(settings)]


def schedules(settings: Orchestration) -> list[dg.ScheduleDefinition]:
    """Make the schedule, on where the recipe sets one."""
    if settings.retrain_at is None:
        return []
    return [
        dg.ScheduleDefinition(
            name="retrain_at",
            job=JOBS["retrain"],
            cron_schedule=settings.retrain_at,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
    ]


def _incoming(settings: Orchestration) -> dg.SensorDefinition:
    @dg.sensor(
        name="incoming_files",
        job=JOBS["preprocess_infer_version"],
        minimum_interval_seconds=settings.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run for each new file in the folder of incoming files.",
    )
    def incoming_files(context: dg.SensorEvaluationContext) -> Requests:
        project = open_project()
        folder = project.paths.root / project.compose().orchestration.incoming
        before = {
            name: Seen.model_validate(facts) for name, facts in json.loads(context.cursor or "{}").items()
        }
        arrivals, seen = look(folder, before)
        for arrival in arrivals:
            yield _request(arrival)
        context.update_cursor(json.dumps({name: each.model_dump() for name, each in seen.items()}))
        if not arrivals:
            yield dg.SkipReason(f"no new whole file among {len(seen)} in {folder}")

    return incoming_files


def _request(arrival: Arrival) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=arrival.key,
        run_config={
            "ops": {
                "prepare_texts": {
                    "config": {"source": str(arrival.path), "overrides": list(arrival.overrides)}
                }
            }
        },
        tags={"tunewright/file": arrival.path.name, "tunewright/digest": arrival.digest},
    )


def _labels(settings: Orchestration) -> dg.SensorDefinition:
    @dg.sensor(
        name="labels_arrived",
        job=JOBS["retrain"],
        minimum_interval_seconds=settings.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retrains when a labelled batch was imported.",
    )
    def labels_arrived(context: dg.SensorEvaluationContext) -> Requests:
        folder = open_project().paths.root / LABELLED
        batches = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        digest = digest_tree(folder) if batches else ""
        if not digest or digest == context.cursor:
            yield dg.SkipReason("no new labelled batch" if batches else f"no labelled batch in {folder}")
            return
        yield dg.RunRequest(run_key=f"labels-{digest[:16]}", tags={"tunewright/batches": str(len(batches))})
        context.update_cursor(digest)

    return labels_arrived


def _signals(settings: Orchestration) -> dg.SensorDefinition:
    @dg.sensor(
        name="signals",
        jobs=list(JOBS.values()),
        minimum_interval_seconds=settings.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the job that a signal asks for: drift, or whatever else looks at the project from outside.",
    )
    def signals(context: dg.SensorEvaluationContext) -> Requests:
        known = set(json.loads(context.cursor or "[]"))
        found = pending(open_project().paths)
        fresh = {name: signal for name, signal in found.items() if name not in known}
        for name, signal in fresh.items():
            if signal is None or signal.job not in JOBS:
                fault = "it is damaged" if signal is None else f"there is no job {signal.job!r}"
                context.log.error("signal %s starts nothing: %s; known: %s", name, fault, ", ".join(JOBS))
                continue
            yield dg.RunRequest(
                run_key=f"signal-{name}",
                job_name=signal.job,
                run_config=signal.config,
                tags={"tunewright/reason": signal.reason},
            )
        context.update_cursor(json.dumps(sorted(found)))
        if not fresh:
            yield dg.SkipReason("no signal")

    return signals
