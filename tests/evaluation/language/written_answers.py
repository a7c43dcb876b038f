"""Answers made by hand, and writers that stand for models."""

from __future__ import annotations

from tunewright.evaluation.language.answers import Answer, Answers

LOREM = [
    "the",
    "parcel",
    "left",
    "the",
    "depot",
    "in",
    "the",
    "morning",
    "and",
    "will",
    "reach",
    "your",
    "door",
    "before",
    "noon",
    "on",
    "friday",
    "unless",
    "rain",
    "delays",
    "the",
    "van",
    "between",
    "both",
    "towns",
    "which",
    "happens",
    "in",
    "autumn",
    "more",
    "often",
    "than",
    "in",
    "summer",
]


def answers_of(outputs, references, *, name="tuned", role="tuned", prompts=None, sources=None, losses=None):
    """Pair outputs with references, rows numbered from 1."""
    return Answers(
        name,
        role,
        tuple(
            Answer(
                row=number,
                source=sources[number - 1] if sources else "test.jsonl",
                prompt=prompts[number - 1] if prompts else f"question {number}",
                reference=reference,
                output=output,
                tokens=len(output.split()) + 1 if output is not None else 0,
                finished=True,
                reference_loss=losses[number - 1] if losses is not None else 2.0 * len(reference.split()),
                reference_tokens=max(1, len(reference.split())),
            )
            for number, (output, reference) in enumerate(zip(outputs, references, strict=True), 1)
        ),
        seconds=1.5,
        size_bytes=1_000,
    )


def spoilt(text, share, generator):
    """Replace a share of a text's words by others."""
    return " ".join(
        str(generator.choice(LOREM)) if generator.random() < share else word for word in text.split()
    )


def sentences(count, generator, words=14):
    """Draw texts."""
    return [" ".join(generator.choice(LOREM, size=words)) for _ in range(count)]
