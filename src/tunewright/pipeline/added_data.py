"""Version data that no step of the table gives: answers, selections to label, labelled batches, frozen rows.

Each is a folder or file with a ``.dvc`` pointer beside it, as after ``dvc add``; the pointer is committed, tied
to its run and pushed just as the pointers of the table's steps are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.pipeline.versioning import Committed, Versioning

if TYPE_CHECKING:
    from tunewright.pipeline.job import Job

PREPARED, INFERENCE, SELECTION, LABELS = "prepare", "infer", "sample", "label"
"""What the commits of such data go by."""


def version(
    job: Job, step: str, outputs: Sequence[Path], *, run_id: str = "", digest: str = ""
) -> Committed | None:
    """Record outputs with DVC, commit their pointers, tie the commit to the run, and push.

    Args:
        job: The recipe and the project.
        step: What the commit goes by.
        outputs: Folders or files in the project.
        run_id: The MLflow run that made them; empty when there is none.
        digest: Identity of what they hold; DVC's hash of the first by default.

    Returns:
        The commit; ``None`` where commits are off or git refused, which was said.
    """
    from tunewright.pipeline.dvc import add

    root = job.paths.root
    names = [path.resolve().relative_to(root).as_posix() for path in outputs]
    hashes = add(root, names)
    pointers = [f"{name}.dvc" for name in names]
    pointers += sorted({(Path(name).parent / ".gitignore").as_posix() for name in names})
    return Versioning(job).record_added(step, names, pointers, run_id=run_id, digest=digest or hashes[0])
