"""A start that can copy: weights of two layers laid out so that what followed the same words earlier is said again.

Attention heads that look a token back, and heads that use them to find what came after the same tokens before
(induction heads, arXiv:2209.11895), form in any language model that trains long enough. A model that is to be ready
within minutes can't wait for them: at random, none had formed after 600 steps here. So they stand there from the
start and training goes on from them, as mimetic initialisation does for vision (arXiv:2305.09828). What is copied is
decided by the tokens of the context alone; nothing of the rows is known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST_BACK = 3
"""Tokens that must agree with earlier ones, at most: digits need more than one to be told apart."""
LOOK = 40.0
"""How sharply a head looks at one place: another gets a thousandth of its weight."""
LOOK_PAIRS = 4
"""The fastest rotating pairs of a head's dimensions tell places apart."""
SLOW = 0.05
"""Pairs that rotate less than this a token (in radians) tell tokens apart over a whole document."""
AGREE = 12.0
"""Logit where one token agrees; a second and a third add to it."""
FADE = 0.8
"""Weight of each further token back over that of the one before."""
WRITE = 2.0
"""How loudly a token is passed on to the next ones, over its own embedding."""
SAY = 6.0
"""How loudly the copied token is said, over the embedding of the one that was read."""
OTHERS = 0.1
"""What is kept of the random weights beneath."""
QUIET = 0.01
"""What is kept of the weights that speak into the residual stream; with none, DoRA would divide by their norm."""


@dataclass(frozen=True, slots=True)
class _Space:
    """Directions of the residual stream, orthonormal columns each."""

    shared: torch.Tensor
    """(width,): a part that all embeddings have, which stands in for the biases that Llama lacks."""
    code: torch.Tensor
    """(width, head): of a token, what is passed on."""
    passed: tuple[torch.Tensor, ...]
    """(width, head) each: where the token one back, two back … is written."""
    own: torch.Tensor
    """(width, rest): what nothing else is written into, ``code`` included."""


def can_copy_from_the_start(config: Any) -> bool:  # noqa: ANN401
    """Tell whether a Llama configuration has room: layers, heads with keys of their own, slow pairs."""
    return (
        config.num_hidden_layers > 1
        and _tokens_back(config) > 0
        and config.num_key_value_heads == config.num_attention_heads
        and len(_slow_pairs(config)) > 1
    )


def start_copying(model: Any, *, seed: int) -> None:  # noqa: ANN401
    """Lay out the first two layers of a Llama model in place; all layers start by adding next to nothing else.

    The first heads of layer 0 attend to the token one, two and three back, wherever they are, and write it into a
    part of the residual stream of its own. The heads of layer 1 compare the last tokens with those before every
    earlier place and say again what stands at the place that agrees best.

    Args:
        model: A ``LlamaForCausalLM`` for which ``can_copy_from_the_start`` holds, with random weights.
        seed: Draws the directions.
    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        space = _draw_space(model.config, draw)
        size = _share_a_direction(model, space)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(QUIET)
            layer.mlp.down_proj.weight.mul_(QUIET)
        _look_back(model, space, size)
        _find_and_say(model, space, size, draw)


def _tokens_back(config: Any) -> int:  # noqa: ANN401
    """Return how many tokens back are passed on: two heads of the first layer stay free."""
    heads: int = config.num_attention_heads
    return min(MOST_BACK, heads - 2)


def _speeds(config: Any) -> list[float]:  # noqa: ANN401
    """Return how far each pair of a head's dimensions rotates a token, in radians (arXiv:2104.09864)."""
    base = config.rope_parameters["rope_theta"]
    return [base ** (-2 * pair / config.head_dim) for pair in range(config.head_dim // 2)]


def _slow_pairs(config: Any) -> list[int]:  # noqa: ANN401
    return [pair for pair, speed in enumerate(_speeds(config)) if speed < SLOW]


def _draw_space(config: Any, draw: torch.Generator) -> _Space:  # noqa: ANN401
    """Draw orthonormal directions and share them out."""
    import torch

    width, head = config.hidden_size, config.head_dim
    back = _tokens_back(config)
    basis = torch.linalg.qr(torch.randn(width, width, generator=draw))[0]
    shared, code, rest = basis[:, 0], basis[:, 1 : 1 + head], basis[:, 1 + head :]
    passed = tuple(rest[:, head * each : head * (each + 1)] for each in range(back))
    return _Space(shared, code, passed, torch.cat([code, rest[:, head * back :]], dim=1))


def _share_a_direction(model: Any, space: _Space) -> float:  # noqa: ANN401
    """Give all embeddings a common part as long as their own; return that length."""
    embeddings = model.model.embed_tokens.weight
    size = float(model.config.initializer_range * math.sqrt(model.config.hidden_size))
    embeddings += (size - embeddings @ space.shared)[:, None] * space.shared
    return size


def _look_back(model: Any, space: _Space, size: float) -> None:  # noqa: ANN401
    """Make heads of layer 0 attend to the token one, two … back and write its code where the next layer finds it."""
    import torch

    attention, head = model.model.layers[0].self_attn, model.config.head_dim
    # After RMS normalisation half of an embedding's square is the shared direction's.
    heard = math.sqrt(model.config.hidden_size / 2)
    speeds = _speeds(model.config)[:LOOK_PAIRS]
    for back, place in enumerate(space.passed, start=1):
        rows = slice(head * (back - 1), head * back)
        query, key = torch.zeros(head), torch.zeros(head)
        for pair, speed in enumerate(speeds):
            # Rotated by their positions, the two point the same way exactly `back` tokens apart.
            query[pair], query[pair + head // 2] = math.cos(-back * speed), math.sin(-back * speed)
            key[pair] = 1.0
        for weights, wanted in ((attention.q_proj.weight, query), (attention.k_proj.weight, key)):
            weights[rows] = OTHERS * weights[rows] + math.sqrt(LOOK) / heard * wanted[:, None] * space.shared
        attention.v_proj.weight[rows] = space.code.T
        attention.o_proj.weight[:, rows] = place * (WRITE * size / heard)


def _find_and_say(model: Any, space: _Space, size: float, draw: torch.Generator) -> None:  # noqa: ANN401
    """Make the heads of layer 1 find where the same tokens stood before, and say what stood behind them."""
    import torch

    attention, config = model.model.layers[1].self_attn, model.config
    head, width = config.head_dim, config.hidden_size
    back = len(space.passed)
    # What layer 1 hears of one unit of the residual stream.
    heard = math.sqrt(width) / (size * math.sqrt(2 + WRITE**2 * back * head / width))
    code_square = (size * heard) ** 2 * head / width
    scale = math.sqrt(AGREE * math.sqrt(head) / code_square)
    slow = [*_slow_pairs(config), *(pair + head // 2 for pair in _slow_pairs(config))]
    spoken = min(head, space.own.shape[1])
    share = space.own.shape[1] / (config.num_attention_heads * spoken)
    for number in range(config.num_attention_heads):
        rows = slice(head * number, head * (number + 1))
        query, key = torch.zeros(head, width), torch.zeros(head, width)
        for each in range(back):
            mixed = torch.randn(len(slow), head, generator=draw) / math.sqrt(len(slow)) * FADE**each
            here = space.code if each == 0 else space.passed[each - 1] / WRITE
            query[slow] += mixed @ here.T
            key[slow] += mixed @ space.passed[each].T / WRITE
        for weights, wanted in ((attention.q_proj.weight, query), (attention.k_proj.weight, key)):
            weights[rows] = OTHERS * weights[rows] + scale * wanted
        turned = torch.linalg.qr(torch.randn(space.own.shape[1], spoken, generator=draw))[0]
        said = torch.zeros(head, width)
        said[:spoken] = (space.own @ turned).T
        attention.v_proj.weight[rows] = said
        attention.o_proj.weight[:, rows] = said.T * (SAY / heard * share)
