"""Rewards that a program can verify: what an answer earns, and why no model is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunewright.evaluation.language.rules import NOT_JSON, AnswerRules, NotJson, parse
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.chat.rows import ChatRow

RewardName = Literal["exact_match", "valid_json", "format", "length"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reward looks at beside the answer's text."""

    reference: str
    """The row's own answer."""
    tokens: int
    """Tokens of the answer, a stop token included."""
    room: int
    """Tokens that it might have had."""


def exact_match(answer: str, asked: Asked, rules: AnswerRules) -> float:
    """Give 1 for the row's own answer: JSON by its values, other text with white space normalised."""
    right, said = parse(asked.reference), parse(answer)
    if isinstance(right, dict | list) and not isinstance(said, NotJson):
        return float(AnswerRules("json").same(answer, asked.reference))
    return float(rules.same(answer, asked.reference))


def valid_json(answer: str, asked: Asked, rules: AnswerRules) -> float:  # noqa: ARG001
    """Give 1 for an answer that is JSON."""
    return float(parse(answer.strip()) is not NOT_JSON)


def in_format(answer: str, asked: Asked, rules: AnswerRules) -> float:  # noqa: ARG001
    """Give 1 for an answer that fits the recipe's JSON schema, or that its regular expression matches whole."""
    return float(rules.valid(answer))


def length(answer: str, asked: Asked, rules: AnswerRules) -> float:  # noqa: ARG001
    """Give from 1, for the shortest answer, down to 0 for one that fills its room; nothing for an empty one."""
    return (1 - asked.tokens / asked.room) if answer.strip() else 0.0


REWARDS: Mapping[RewardName, Callable[[str, Asked, AnswerRules], float]] = {
    "exact_match": exact_match,
    "valid_json": valid_json,
    "format": in_format,
    "length": length,
}


def require_meaning(names: Sequence[RewardName], rows: Sequence[ChatRow], rules: AnswerRules) -> None:
    """Refuse rewards that every answer would get alike.

    Raises:
        InputError: When a format isn't told, or a row has no answer to match.
    """
    from tunewright.training.language.samples import reference_of

    if "format" in names and not rules.tells:
        raise InputError(
            "every answer has the format that the recipe asks for",
            place="training.grpo.rewards",
            mend="set evaluation.generation.json_schema or evaluation.generation.pattern, or leave 'format' out",
        )
    if "exact_match" in names:
        for row in rows:
            if not reference_of(row).strip():
                raise InputError(
                    "has no answer that another could match",
                    place=f"row {row.row}",
                    mend="give each row its answer, or leave 'exact_match' out of training.grpo.rewards",
                )


def reward_functions(names: Sequence[RewardName], rules: AnswerRules, *, room: int) -> list[Any]:
    """Return rewards as TRL's GRPOTrainer calls them: lists of answers and columns of the rows in, values out."""

    def made(name: RewardName) -> Any:  # noqa: ANN401
        reward = REWARDS[name]

        def call(
            completions: list[str], completion_ids: list[list[int]], reference: list[str], **_: object
        ) -> list[float]:
            return [
                reward(answer, Asked(right, len(ids), room), rules)
                for answer, ids, right in zip(completions, completion_ids, reference, strict=True)
            ]

        call.__name__ = name
        return call

    return [made(name) for name in names]
