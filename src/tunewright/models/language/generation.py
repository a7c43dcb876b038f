"""Greedy answers in batches, and log-likelihoods of given tokens, both in true fp32."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunewright.models.inference import exact_matmul
from tunewright.models.language.heads import supervised_logits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

IGNORED = -100


def write_ids(
    model: Any,  # noqa: ANN401
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    pad_id: int,
    max_new_tokens: int,
    batch_size: int,
    max_length: int | None = None,
) -> list[list[int]]:
    """Let a causal model go on from prompts, each token the most probable one.

    A prompt is never cut. One that leaves no room within ``max_length`` gets no token.

    Args:
        model: A Transformers causal model; its mode is put back afterwards.
        prompts: Token ids, at least one each.
        stop_ids: Any of them ends an answer and is its last token.
        pad_id: Fills short prompts up on the left; it is masked.
        max_new_tokens: Tokens an answer, at most.
        batch_size: Prompts at once; those of similar length go together.
        max_length: Tokens of prompt and answer together, at most; ``None`` sets no bound.

    Returns:
        New tokens for each prompt, in the order of the prompts.
    """
    import torch

    found: list[list[int]] = [[] for _ in prompts]

    def room(row: int) -> int:
        left = max_new_tokens - len(found[row])
        return left if max_length is None else min(left, max_length - len(prompts[row]) - len(found[row]))

    with evaluating(model), exact_matmul(), torch.inference_mode():
        going = [row for row in range(len(prompts)) if room(row) > 0]
        while going:
            read = [[*prompts[row], *found[row]] for row in going]
            for batch in _batches([len(ids) for ids in read], batch_size):
                # The row with the least room ends the batch: no row may reach beyond what the model reads.
                settings = _greedy(stop_ids, pad_id, min(room(going[at]) for at in batch))
                ids, mask = _left_padded([read[at] for at in batch], pad_id, model.device)
                new = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
                for at, tokens in zip(batch, new[:, ids.shape[1] :].tolist(), strict=True):
                    found[going[at]] += _until_stop(tokens, stop_ids)
            going = [row for row in going if found[row][-1] not in stop_ids and room(row) > 0]
    return found


def _greedy(stop_ids: Sequence[int], pad_id: int, new_tokens: int) -> Any:  # noqa: ANN401
    """Return settings that take the most probable token each time."""
    from transformers import GenerationConfig

    make: Any = GenerationConfig
    return make(
        do_sample=False,
        num_beams=1,
        max_new_tokens=new_tokens,
        eos_token_id=list(stop_ids) or None,
        pad_token_id=pad_id,
        # The model's own file may ask for penalties, which would make other answers than the greedy ones.
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
    )


def log_likelihoods(
    model: Any,  # noqa: ANN401
    sequences: Sequence[Sequence[int]],
    masks: Sequence[Sequence[bool]],
    *,
    pad_id: int,
    batch_size: int,
) -> list[list[float]]:
    """Return the log-probability (nats) of each masked token given those before it.

    Args:
        model: A Transformers causal model; its mode is put back afterwards.
        sequences: Token ids.
        masks: Which tokens are asked about; the first of a sequence never is, for nothing predicts it.
        pad_id: Fills short sequences up on the right.
        batch_size: Sequences at once.
    """
    import torch

    found: list[list[float]] = [[] for _ in sequences]
    # Not inference_mode: weights that ZeRO-3 or FSDP2 fetches for this pass are used by the next training step.
    with evaluating(model), exact_matmul(), torch.no_grad():
        for rows in _batches([len(ids) for ids in sequences], batch_size):
            ids, attention, labels = _right_padded(
                [sequences[row] for row in rows], [masks[row] for row in rows], pad_id
            )
            inputs = {"input_ids": ids.to(model.device), "attention_mask": attention.to(model.device)}
            logits, targets = supervised_logits(model, inputs, labels.to(model.device))
            values: Any = (
                torch.log_softmax(logits.float(), dim=-1).gather(1, targets.unsqueeze(1))[:, 0].cpu()
            )
            counts = (labels[:, 1:] != IGNORED).sum(dim=1).tolist()
            for row, part in zip(rows, values.split(counts), strict=True):
                found[row] = part.tolist()
    return found


@contextmanager
def evaluating(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Set evaluation mode inside the block and put the mode back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Give positions, longest first, so that a lack of memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    return (order[at : at + size] for at in range(0, len(order), size))


def _left_padded(
    prompts: Sequence[Sequence[int]],
    pad_id: int,
    device: Any,  # noqa: ANN401
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for at, prompt in enumerate(prompts):
        ids[at, width - len(prompt) :] = torch.tensor(prompt)
        mask[at, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _right_padded(
    sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]], pad_id: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return token ids, attention mask and labels, each int64 (rows, longest)."""
    import torch

    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), pad_id)
    attention, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for at, (sequence, mask) in enumerate(zip(sequences, masks, strict=True)):
        row = torch.tensor(sequence)
        ids[at, : len(row)] = row
        attention[at, : len(row)] = 1
        asked = torch.tensor(mask, dtype=torch.bool)
        asked[:1] = False
        labels[at, : len(row)][asked] = row[asked]
    return ids, attention, labels


def _until_stop(tokens: Sequence[int], stop_ids: Sequence[int]) -> list[int]:
    """Cut behind the first stop token."""
    at = next((at for at, token in enumerate(tokens) if token in stop_ids), len(tokens) - 1)
    return list(tokens[: at + 1])
