"""What a worker process is told: one JSON file, and the rows beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunewright.config.schema import Recipe
from tunewright.data.chat.rows import ChatRow
from tunewright.models.catalogue import Base
from tunewright.support.files import read_json, write_json, writing

SPEC = "job.json"
LAUNCH = "processes"
"""The folder, in that of a training's checkpoints, for what its processes tell each other."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training, as every process that takes part in it reads it."""

    recipe: Recipe
    base: Base
    train: tuple[ChatRow, ...]
    validation: tuple[ChatRow, ...]
    digest: str
    """Of the rows, as ``ChatData`` has it."""
    workspace: Path
    """Holds the training's folder of checkpoints."""
    template: Path | None = None
    """A file with the chat template to use instead of the tokenizer's."""
    gives_up: bool = False
    """Whether to ask after each epoch if the training should end there."""

    def write(self, folder: Path) -> Path:
        """Write the job into a folder and return its JSON file."""
        for name, rows in (("train", self.train), ("validation", self.validation)):
            with writing(folder / f"{name}.jsonl") as path, path.open("w", encoding="utf-8") as file:
                file.writelines(row.model_dump_json(exclude_defaults=True) + "\n" for row in rows)
        facts = {
            "recipe": self.recipe.model_dump(mode="json"),
            "base": asdict(self.base) | {"folder": str(self.base.folder.resolve())},
            "digest": self.digest,
            "workspace": str(self.workspace.resolve()),
            "template": str(self.template.resolve()) if self.template else None,
            "gives_up": self.gives_up,
        }
        write_json(folder / SPEC, facts)
        return folder / SPEC

    @classmethod
    def read(cls, spec: Path) -> Job:
        """Read what ``write`` wrote."""
        facts: dict[str, Any] = read_json(spec)
        return cls(
            recipe=Recipe.model_validate(facts["recipe"]),
            base=Base(**facts["base"] | {"folder": Path(facts["base"]["folder"])}),
            train=_rows(spec.with_name("train.jsonl")),
            validation=_rows(spec.with_name("validation.jsonl")),
            digest=facts["digest"],
            workspace=Path(facts["workspace"]),
            template=Path(facts["template"]) if facts["template"] else None,
            gives_up=facts["gives_up"],
        )


def _rows(path: Path) -> tuple[ChatRow, ...]:
    with path.open(encoding="utf-8") as file:
        return tuple(ChatRow.model_validate_json(line) for line in file)
