"""One trial of a sweep, in a process of its own: train from the untouched base, score on validation rows, tell.

The process talks with the one that started it in lines of JSON: it tells its MLflow run, each epoch and its result on
standard output, and reads on standard input whether to go on. When that input ends, the sweep was killed, and the trial
ends at once, to be taken up from its checkpoint.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tunewright.data.dataset import Dataset
from tunewright.pipeline.trial_record import TrialResult, TrialTask
from tunewright.support.errors import InputError
from tunewright.support.files import read_json
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.models.catalogue import Base
    from tunewright.models.classifier import Classifier
    from tunewright.registry.executions import Execution
    from tunewright.registry.tracking import Tracking
    from tunewright.support.paths import ProjectPaths
    from tunewright.training.candidate import Candidate

TASK = "task.json"
LOG = "log.txt"
CHECKPOINTS = "checkpoints"
GO_ON, STOP = "go on", "stop"
ORPHANED = 75
"""Exit code of a trial whose sweep has ended (EX_TEMPFAIL: try again)."""


@dataclass(slots=True)
class Link:
    """The line to the process that started this one."""

    channel: IO[str]
    answers: queue.Queue[str] = field(default_factory=queue.Queue)

    @classmethod
    def connect(cls) -> Link:
        """Keep standard output for the sweep; whatever else is printed goes to standard error."""
        channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        link = cls(channel)
        threading.Thread(target=link._listen, daemon=True).start()
        return link

    def tell(self, **facts: object) -> None:
        """Send one line."""
        self.channel.write(json.dumps(facts) + "\n")
        self.channel.flush()

    def should_stop(self, epoch: int, score: float) -> bool:
        """Tell an epoch's score and wait for the answer."""
        self.tell(epoch=epoch, score=score)
        return self.answers.get() == STOP

    def _listen(self) -> None:
        for line in sys.stdin:
            self.answers.put(line.strip())
        os._exit(ORPHANED)  # nothing may run on beside the trial that will take this one's place


def run_trial(folder: Path, paths: ProjectPaths) -> None:
    """Do the trial whose task lies in ``folder``.

    Raises:
        InputError: When there is no task, or the data set isn't the one that the sweep began with.
        TunewrightError: When the training fails.
    """
    from tunewright.models.catalogue import resolve
    from tunewright.registry.tracking import connect

    task = TrialTask.model_validate(read_json(folder / TASK, mend="start it with `tunewright sweep`"))
    link = Link.connect()
    with locked(folder / "trial.lock", what=f"trial {task.number}"):
        dataset = Dataset.load(paths.processed)
        if dataset.manifest.digest != task.data_digest:
            raise InputError(
                "the data set has changed since the sweep began",
                place=str(paths.processed),
                mend="sweep again",
            )
        base = resolve(task.recipe.model, base_dir=paths.root)
        tracking = connect(task.recipe, paths)
        head = _head(task, tracking, base, dataset)
        _train(task, tracking, dataset, base, head, folder=folder, link=link)


def _head(task: TrialTask, tracking: Tracking, base: Base, dataset: Dataset) -> Classifier | None:
    """Return the untouched base with its fitted head, from which a fitted start begins."""
    from tunewright.models.frozen import fit_head
    from tunewright.registry.models import load

    recipe = task.recipe
    if recipe.training.initial_head != "fitted":
        return None
    if recipe.model == task.base_model:
        return load(tracking, task.base.uri)
    return fit_head(
        base,
        dataset.examples("train"),
        dataset.label_names,
        recipe.model,
        seed=recipe.seed,
        cleaning=recipe.data.cleaning.model_dump(mode="json"),
    )


def _train(
    task: TrialTask,
    tracking: Tracking,
    dataset: Dataset,
    base: Base,
    head: Classifier | None,
    *,
    folder: Path,
    link: Link,
) -> None:
    """Train in a run below the sweep's, keep the adapter with it, and tell what came of it."""
    from tunewright.registry.executions import execution
    from tunewright.registry.trials import trial_run
    from tunewright.training.classification import identity, train

    recipe, metric = task.recipe, f"validation/{task.recipe.evaluation.primary_metric}"
    start = head.digest() if head else base.digest
    tags = {
        "trial": task.number,
        "overrides": " ".join(task.overrides),
        "data_digest": task.data_digest,
        "base_digest": base.digest,
        "start_digest": start,
    }

    def gives_up(history: Sequence[Mapping[str, float]]) -> bool:
        return link.should_stop(len(history), history[-1][metric])

    with execution(
        tracking,
        "sweep",
        recipe=recipe,
        tags=tags,
        within=task.sweep_run_id,
        name=f"trial-{task.number:03d}",
        resume=trial_run(tracking, task.sweep_run_id, task.number),
    ) as run:
        link.tell(run_id=run.run_id)
        candidate = train(
            dataset, base, recipe, workspace=folder / CHECKPOINTS, recorder=run, head=head, gives_up=gives_up
        )
        result = _result(candidate, metric, identity(dataset, base, recipe, head=head), start)
        run.metrics({"score": result.value}, candidate.figures.best_step)
        run.require_metrics("score")
        run.tags({"kind_of_weights": result.kind, **_digests(result)})
        if result.kind == "lora":
            _keep(run, candidate.classifier)
    link.tell(result=result.model_dump(mode="json"))


def _result(candidate: Candidate, metric: str, identity: str, start: str) -> TrialResult:
    from tunewright.models.heads import digest_weights, encoder_weights

    classifier, figures = candidate.classifier, candidate.figures
    kept = next(entry for entry in candidate.history if entry["step"] == figures.best_step)
    return TrialResult(
        value=kept[metric],
        scores=tuple(entry[metric] for entry in candidate.history),
        identity=identity,
        kind=candidate.method,
        start_digest=start,
        encoder_digest=digest_weights(encoder_weights(classifier.model)) if classifier.is_adapter else None,
        digest=classifier.digest(),
        steps=figures.steps,
        seconds=figures.seconds,
        resumed_from_step=figures.resumed_from_step,
    )


def _digests(result: TrialResult) -> dict[str, Any]:
    found = {"digest": result.digest, "encoder_digest": result.encoder_digest, "identity": result.identity}
    return {name: value for name, value in found.items() if value is not None}


def _keep(run: Execution, classifier: Classifier) -> None:
    """Keep an adapter among the run's artefacts; whole weights would be hundreds of megabytes a trial."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "classifier"
        classifier.save(folder)
        run.artifact(folder, "classifier")
