"""Trains as told by a JSON file; the resume tests start it as a process of its own and kill it."""

import json
import sys
from pathlib import Path

from tunewright.config.schema import Recipe
from tunewright.data.dataset import Dataset
from tunewright.models.catalogue import resolve
from tunewright.training.classification import train


class Silent:
    """A recorder that forgets."""

    def metrics(self, values, step):
        """Take figures."""


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text())
    recipe = Recipe.model_validate(told["recipe"])
    train(
        Dataset.load(Path(told["dataset"])),
        resolve(recipe.model, base_dir=Path.cwd()),
        recipe,
        workspace=Path(told["workspace"]),
        recorder=Silent(),
    )
