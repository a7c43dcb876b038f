"""Fine-tunes as told by a JSON file; the kill test starts it as a process of its own and kills it."""

import json
import sys
from pathlib import Path

from tunewright.config.schema import Recipe
from tunewright.data.chat.rows import ChatRow
from tunewright.models.catalogue import resolve
from tunewright.training.language.sft import ChatData, train


class Silent:
    """A recorder that forgets."""

    def metrics(self, values, step):
        """Take figures."""

    def table(self, name, rows, step):
        """Take a table."""


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text())
    recipe = Recipe.model_validate(told["recipe"])
    rows = tuple(map(ChatRow.model_validate, told["rows"]))
    train(
        ChatData(train=rows[:-8], validation=rows[-8:], digest="rows"),
        resolve(recipe.model, base_dir=Path.cwd()),
        recipe,
        workspace=Path(told["workspace"]),
        recorder=Silent(),
        template=Path(told["template"]),
    )
