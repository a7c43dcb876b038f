"""The pipeline as data: one table of steps, from which everything else is derived.

``dvc.yaml`` is generated from it, ``tunewright run`` walks it, and ``tunewright step NAME`` runs one of its functions.
``STEPS`` is the same in every project; ``table`` adds the notebooks that a recipe makes steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe

SOURCE = "data source"
"""Stands for the user's source in ``Step.takes``: a local path, or the fingerprint file of a remote one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a function, the parts of the recipe that it reads, and the artefacts it takes and gives.

    Paths are relative to the project. ``version`` rises when the function's result changes for the same input,
    which makes the step run again in every project.
    """

    name: str
    summary: str
    function: str
    params: tuple[str, ...]
    takes: tuple[str, ...]
    may_take: tuple[str, ...] = ()
    """Artefacts that it takes where they are there."""
    cached: tuple[str, ...] = ()
    """Outputs whose bytes DVC keeps: data."""
    plain: tuple[str, ...] = ()
    """Outputs that git may keep as they are: pointers, figures, pages."""
    version: int = 1
    files: tuple[str, ...] = ()
    """Files of the user's, besides the source, that it reads."""
    argument: str = ""
    """Given to the function after the job, where one function serves several steps."""
    recalled: bool = True
    """Whether DVC's run cache may give the outputs of an earlier execution; not for steps that act on the registry."""

    @property
    def gives(self) -> tuple[str, ...]:
        """Every output."""
        return self.cached + self.plain


READING = tuple(
    f"data.{key}"
    for key in (
        "source", "format", "encoding", "delimiter", "quoting", "header", "text_column", "label_column",
        "json_field", "hub_config", "hub_split", "revision", "max_rows", "shard_rows", "chat_format", "system",
    )
)  # fmt: skip
RECORDING = (
    "project",
    "registry.tracking_uri",
    "registry.experiment",
    "registry.probes",
    "registry.certificate_bound",
)
JUDGING = tuple(
    f"evaluation.{key}"
    for key in (
        "primary_metric", "baselines", "bootstrap_samples", "confidence", "calibration_bins", "latency_samples",
        "slice_columns", "worst_mistakes",
    )
)  # fmt: skip
DATA = "data/processed"
LABELLED = "data/labelled"
"""Batches of rows that were labelled after the first training."""
FROZEN = "data/frozen.parquet"
"""Where the rows stood when the first batch came: they stay there."""
BASELINES = "reports/baselines"

STEPS: tuple[Step, ...] = (
    Step(
        name="ingest",
        summary="read the source into parquet shards",
        function="tunewright.pipeline.data_steps:ingest",
        params=(*READING, "training.objective"),
        takes=(SOURCE,),
        may_take=(LABELLED,),
        cached=("data/interim/rows",),
    ),
    Step(
        name="clean",
        summary="clean the text",
        function="tunewright.pipeline.data_steps:clean",
        params=("data.cleaning",),
        takes=("data/interim/rows",),
        cached=("data/interim/clean",),
    ),
    Step(
        name="validate",
        summary="judge every row, set bad ones aside, find copies",
        function="tunewright.pipeline.data_steps:validate",
        params=("data.validation",),
        takes=("data/interim/clean",),
        cached=("data/interim/valid", "data/quarantine.jsonl"),
    ),
    Step(
        name="split",
        summary="freeze train, validation and test rows",
        function="tunewright.pipeline.data_steps:split",
        params=("data.split_by", "data.test_share", "data.validation_share", "data.shard_rows", "seed"),
        takes=("data/interim/valid",),
        may_take=(FROZEN,),
        cached=(DATA,),
        plain=("reports/data.html",),
    ),
    Step(
        name="check",
        summary="check the base and its tokenizer, forecast time and memory",
        function="tunewright.pipeline.model_steps:check",
        params=("model", "training", "seed"),
        takes=(DATA,),
        plain=("reports/check.json",),
    ),
    Step(
        name="baseline",
        summary="measure the untouched base and the trivial baselines",
        function="tunewright.pipeline.model_steps:baseline",
        params=(
            "model",
            "data.cleaning",
            "evaluation.baselines",
            "evaluation.latency_samples",
            "evaluation.generation",
            "training.objective",
            "training.loss_on",
            *RECORDING,
            "seed",
        ),
        takes=(DATA,),
        plain=(BASELINES, "models/base.json"),
    ),
    Step(
        name="train",
        summary="fine-tune, certify and log the candidate",
        function="tunewright.pipeline.model_steps:train",
        params=("model", "training", "evaluation.primary_metric", *RECORDING, "seed"),
        takes=(DATA, "reports/check.json", "models/base.json"),
        plain=("models/candidate.json",),
    ),
    Step(
        name="evaluate",
        summary="compare the candidate with the baselines on the frozen test rows",
        function="tunewright.pipeline.model_steps:evaluate",
        params=(*JUDGING, "evaluation.generation", "training.objective", "seed"),
        takes=(DATA, BASELINES, "models/candidate.json"),
        plain=("reports/evaluation",),
        version=2,
    ),
    Step(
        name="register",
        summary="register base and candidate as model versions",
        function="tunewright.pipeline.model_steps:register",
        params=("registry", "project", "training.objective"),
        takes=("models/base.json", "models/candidate.json", "reports/evaluation"),
        plain=("models/registered.json",),
        recalled=False,
    ),
    Step(
        name="promote",
        summary="let the gate decide between challenger and champion",
        function="tunewright.pipeline.model_steps:promote",
        params=("evaluation.gate", "evaluation.generation", "training.objective", "registry", "project"),
        takes=(DATA, "reports/evaluation", BASELINES, "models/registered.json"),
        plain=("reports/verdict.json",),
        recalled=False,
    ),
)

BY_NAME = {step.name: step for step in STEPS}


NOTEBOOK = "notebook-"
"""What the name of a step that is a notebook begins with."""


def table(recipe: Recipe) -> tuple[Step, ...]:
    """Return the steps of a project: each notebook of its recipe stands right after the step it looks at.

    Raises:
        InputError: When a notebook is to follow a step that doesn't exist.
    """
    steps = list(STEPS)
    for name, notebook in recipe.notebooks.items():
        try:
            before = find(notebook.after)
        except InputError as error:
            raise InputError(error.fact, place=f"notebooks.{name}.after", mend=error.mend) from None
        at = 1 + max(i for i, each in enumerate(steps) if each is before or _follows(each, before))
        steps.insert(at, _notebook_step(name, notebook.path, before))
    return tuple(steps)


def _notebook_step(name: str, path: str, before: Step) -> Step:
    copy = f"reports/notebooks/{name}"
    return Step(
        name=NOTEBOOK + name,
        summary=f"run {path}",
        function="tunewright.pipeline.notebooks:run_step",
        params=(f"notebooks.{name}", "project", "registry"),
        takes=before.gives,
        files=(path,),
        plain=(f"{copy}.ipynb", f"{copy}.html"),
        argument=name,
    )


def _follows(step: Step, before: Step) -> bool:
    return step.name.startswith(NOTEBOOK) and step.takes == before.gives


def find(name: str, steps: tuple[Step, ...] = STEPS) -> Step:
    """Return the step called ``name``.

    Raises:
        InputError: When there is none, naming the nearest.
    """
    names = {step.name: step for step in steps}
    if name not in names:
        raise InputError(
            "no such step", place=f"'{name}'", mend=nearest(name, list(names)) or f"known: {', '.join(names)}"
        )
    return names[name]


def select(
    steps: tuple[Step, ...] = STEPS,
    *,
    start: str | None = None,
    until: str | None = None,
    only: str | None = None,
) -> tuple[Step, ...]:
    """Return the steps from ``start`` to ``until``, or the one called ``only``; all by default."""
    if only and (start or until):
        raise InputError(
            "can't be used together", place="--only and --from or --until", mend="give one of them"
        )
    if only:
        return (find(only, steps),)
    first = steps.index(find(start, steps)) if start else 0
    last = steps.index(find(until, steps)) if until else len(steps) - 1
    if last < first:
        raise InputError(
            f"comes before {steps[first].name}", place=f"--until {steps[last].name}", mend="turn them round"
        )
    return steps[first : last + 1]
