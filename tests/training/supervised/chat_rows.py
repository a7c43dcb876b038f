"""Real rows and a template for the small real models."""

from __future__ import annotations

import json
from pathlib import Path

from tunewright.data.chat.rows import ChatRow, Message

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %} {{ m.content }}"
    "{{ eos_token }}{% endgeneration %}\n{% else %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)


def instruction_rows(shared: Path, count: int, *, characters: int = 220) -> tuple[ChatRow, ...]:
    """The first short tasks of self-instruct as conversations of one turn."""
    found = []
    lines = (shared / "data/self_instruct/seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    for number, task in enumerate(map(json.loads, lines), start=1):
        asked = f"{task['instruction']} {task['instances'][0]['input']}".strip()
        said = task["instances"][0]["output"]
        if len(asked) + len(said) <= characters and (asked + said).isascii():
            turns = (Message(role="user", content=asked), Message(role="assistant", content=said))
            found.append(ChatRow(kind="conversation", messages=turns, row=number))
    assert len(found) >= count
    return tuple(found[:count])
