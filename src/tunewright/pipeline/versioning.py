"""After a step that gives data: commit the pointers to it, tie the commit to its run, and push.

What can't be done (git doesn't know the user, the remote is down) is said and doesn't end the run: the data is in
DVC's cache, and the next run, or ``tunewright data push``, does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.pipeline import history
from tunewright.pipeline.dvcfile import DVC_FILE, FINGERPRINT, LOCK_FILE, PARAMS_FILE
from tunewright.pipeline.executing import keep, last_execution
from tunewright.pipeline.repository import Repository
from tunewright.pipeline.steps import DATA, Step
from tunewright.support.console import say
from tunewright.support.errors import TunewrightError
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.pipeline.dvc import Records
    from tunewright.pipeline.job import Job
    from tunewright.support.paths import ProjectPaths

POINTERS = (DVC_FILE, LOCK_FILE, PARAMS_FILE, FINGERPRINT)
MODELS = "models"
"""What the commit after the last step goes by: it holds the pointers to models."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit of pointers, and what it points to."""

    commit: str
    digest: str


class Versioning:
    """Commits and pushes of one run; a remote or a repository that failed once is not asked again."""

    def __init__(self, job: Job, records: Records | None = None) -> None:
        self._job = job
        self._records = records
        self._settings = job.recipe.data.versioning
        self._repository = Repository(job.paths.root)
        self._can_commit = self._settings.commit
        self._can_push = self._settings.push

    def record(self, step: Step) -> None:
        """Commit the pointers to what a data step gave, unless its last execution has its commit already."""
        if not step.cached or not self._can_commit:
            return
        execution = last_execution(self._job.paths, step.name)
        if execution is None or not execution.ended or execution.commit:
            return
        digest = self._digest(step)
        run = execution.run_id
        try:
            commit = self._commit(step.name, f"Data of step {step.name}", run, digest, _ignores(step))
        except TunewrightError as error:
            self._can_commit = False
            say(f"    not committed: {error}")
            return
        self._tag(run, commit, digest)
        keep(self._job.paths, execution.model_copy(update={"commit": commit}))
        self._push(step.cached)

    def record_added(
        self, step: str, outputs: Sequence[str], pointers: Sequence[str], *, run_id: str, digest: str
    ) -> Committed | None:
        """Commit the pointers to data that no step of the table gives; ``None`` where that can't be done."""
        if not self._can_commit:
            return None
        try:
            commit = self._commit(step, f"Data of {step}: {outputs[0]}", run_id, digest, tuple(pointers))
        except TunewrightError as error:
            say(f"    not committed: {error}")
            return None
        self._tag(run_id, commit, digest)
        self._push(outputs)
        return Committed(commit, digest)

    def recalled(self, step: Step) -> None:
        """Commit what DVC's run cache gave back, as the data of the run that made it."""
        if not step.cached:
            return
        earlier = history.find_digest(self._repository, step.name, self._digest(step))
        last = last_execution(self._job.paths, step.name)
        if earlier is not None and last is not None:
            is_other = last.run_id != earlier.run_id
            names = last.names.model_copy(update={"run": ""}) if is_other else last.names
            again = {"run_id": earlier.run_id, "names": names, "commit": None, "ended": True}
            keep(self._job.paths, last.model_copy(update=again))
        self.record(step)

    def finish(self) -> None:
        """Commit what is left: the pointers to models, and the lock entries of the steps that made them."""
        if not self._can_commit:
            return
        further = model_pointers(self._job.paths)
        execution = last_execution(self._job.paths, "train")
        run = execution.run_id if execution else ""
        manifest = self._job.paths.root / DATA / "manifest.json"
        digest = read_json(manifest)["digest"] if manifest.is_file() else ""
        try:
            if self._repository.is_committed([*POINTERS, *further]):
                return
            self._commit(MODELS, "Pointers to models", run, digest, further)
        except TunewrightError as error:
            self._can_commit = False
            say(f"not committed: {error}")

    def _commit(self, step: str, subject: str, run: str, digest: str, further: tuple[str, ...]) -> str:
        """Commit the pointers as they are; when they are committed already, return the commit that holds them."""
        trailers = {history.STEP: step, history.RUN: run, history.DIGEST: digest}
        paths = [path for path in (*POINTERS, *further) if (self._job.paths.root / path).is_file()]
        message = f"tunewright: {subject}"
        commit = self._repository.commit(paths, message, trailers=trailers)
        if commit is None and (known := history.find_digest(self._repository, step, digest)):
            return known.commit
        # The pointers may be committed already, by the user or with another step's; the version is still new.
        commit = (
            commit or self._repository.commit(paths, message, trailers=trailers, even_if_empty=True) or ""
        )
        history.append(self._job.paths, history.Commit(commit, "", step, run, digest))
        return commit

    def _tag(self, run_id: str, commit: str, digest: str) -> None:
        """Write the commit on the run that made the data."""
        from tunewright.registry.past_runs import tag_run
        from tunewright.registry.tracking import connect

        if run_id:
            facts = {"data_commit": commit, "digest": digest}
            try:
                tag_run(connect(self._job.recipe, self._job.paths), run_id, facts)
            except TunewrightError:
                # A clone, or another tracking store: git knows the run, this store doesn't.
                say(f"    the run {run_id} is not in this tracking store; the commit names it")

    def _push(self, outputs: Sequence[str]) -> None:
        """Send the data to the remote, and the branch to its own when that is asked for."""
        from tunewright.pipeline.dvc_remotes import default_remote, push

        if self._can_push and (remote := default_remote(self._job.paths.root)):
            try:
                push(self._job.paths.root, outputs)
            except TunewrightError as error:
                self._can_push = False
                say(f"    not pushed to {remote}: {error.fact}; `tunewright data push` sends it later")
        if self._settings.git_push:
            try:
                self._repository.push()
            except TunewrightError as error:
                self._settings = self._settings.model_copy(update={"git_push": False})
                say(f"    {error}")

    def _digest(self, step: Step) -> str:
        """Return the identity of what a step gave."""
        if DATA in step.cached:
            return str(read_json(self._job.paths.root / DATA / "manifest.json")["digest"])
        if self._records is None:
            raise TypeError("the steps of the table are recorded with DVC's records at hand")
        return self._records.digest(step.name, step.cached[0])


def model_pointers(paths: ProjectPaths) -> tuple[str, ...]:
    """Return the pointer files of models that are there."""
    return tuple(f"models/{path.name}" for path in sorted(paths.models.glob("*.json")))


def say_whether_pushed(recipe: Recipe, paths: ProjectPaths) -> None:
    """Say before training whether the data is anywhere but on this disk."""
    from tunewright.pipeline.dvc_remotes import default_remote, missing_there

    remote = default_remote(paths.root)
    if remote is None:
        say("    data: on this disk alone (`tunewright data remote add NAME URL` gives it a second place)")
        return
    try:
        missing = missing_there(paths.root, (DATA,))
    except TunewrightError as error:
        say(f"    data: can't tell whether it is pushed to {remote} ({error.fact})")
        return
    mend = "`tunewright data push` sends it" if recipe.data.versioning.push else "data.versioning.push is off"
    say(f"    data: pushed to {remote}" if not missing else f"    data: not pushed to {remote}; {mend}")


def _ignores(step: Step) -> tuple[str, ...]:
    """Return the ignore files that DVC keeps beside a step's data."""
    return tuple(sorted({(Path(path).parent / ".gitignore").as_posix() for path in step.cached}))
