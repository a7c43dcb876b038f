"""A causal model as OpenVINO's generation pipeline wants it: traced, its cache inside, its attention plain to see.

The pipeline replaces each attention by a paged one. It finds them by their shape in the graph: keys and values that a
state holds, the order of beams gathered from it, new ones concatenated, scaled dot product behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.runtimes.openvino.quiet import without_telemetry
from tunewright.models.language.loading import load_causal

if TYPE_CHECKING:
    import torch

INPUTS = ("input_ids", "attention_mask", "position_ids")
ROWS, TOKENS, PAST = 2, 3, 2
"""Of the example that is traced; all three stay open in the graph."""


def trace(folder: Path) -> Any:  # noqa: ANN401
    """Return an ``openvino.Model`` of a plain Transformers folder, in float32, with its cache as state."""
    without_telemetry()
    import openvino
    import torch

    model = load_causal(folder)
    model.set_attn_implementation("sdpa")
    shapes = _cache_shapes(model)
    ids = torch.ones(ROWS, TOKENS, dtype=torch.long)
    mask = torch.ones(ROWS, PAST + TOKENS, dtype=torch.long)
    positions = torch.arange(PAST, PAST + TOKENS).repeat(ROWS, 1)
    past = [torch.zeros(ROWS, heads, PAST, size) for heads, size in shapes]
    with torch.no_grad():
        graph = openvino.convert_model(_stepped(model), example_input=(ids, mask, positions, *past))
    _make_stateful(graph, shapes)
    return graph


def _cache_shapes(model: Any) -> list[tuple[int, int]]:  # noqa: ANN401
    """Return heads and head size of each cached tensor: keys and values of a layer, then of the next."""
    import torch

    with torch.no_grad():
        cache = model(input_ids=torch.ones(1, 1, dtype=torch.long), use_cache=True).past_key_values
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    return [(tensor.shape[1], tensor.shape[3]) for tensor in tensors]


class _Past:
    """Takes the place of Transformers' cache: plain tensors in, longer ones out."""

    is_compileable = False
    is_sliding = ()

    def __init__(self, tensors: tuple[torch.Tensor, ...]) -> None:
        self.tensors = list(tensors)

    def update(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        layer: int,
        *_: Any,  # noqa: ANN401
        **__: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a layer's new keys and values (Transformers' own signature)."""
        import torch

        place = slice(2 * layer, 2 * layer + 2)
        self.tensors[place] = [
            torch.cat(pair, dim=2) for pair in zip(self.tensors[place], (keys, values), strict=True)
        ]
        return self.tensors[2 * layer], self.tensors[2 * layer + 1]

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the tokens that are held."""
        return int(self.tensors[2 * layer].shape[2])


def _stepped(model: Any) -> Any:  # noqa: ANN401
    """Return a module with the cache as inputs and outputs."""
    import torch
    from torch import nn

    class Stepped(nn.Module):
        """One pass over new tokens."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            # Graph nodes take these names, and the pipeline looks for them there, too.
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
            *past: torch.Tensor,
        ) -> tuple[torch.Tensor, ...]:
            cache = _Past(past)
            tokens, width = input_ids.shape[1], attention_mask.shape[1]
            place = torch.arange(width)
            seen = place[None, :] <= torch.arange(tokens)[:, None] + (width - tokens)
            seen = seen[None, None] & attention_mask[:, None, None, :].bool()
            hidden = torch.where(seen, torch.tensor(0.0), torch.tensor(torch.finfo(torch.float32).min))
            out = self.model(
                input_ids=input_ids,
                attention_mask=hidden,
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
            return (out.logits, *cache.tensors)

    return Stepped().eval()


def _make_stateful(graph: Any, shapes: list[tuple[int, int]]) -> None:  # noqa: ANN401
    """Name inputs and outputs as the pipeline knows them, and turn the cache into state."""
    import numpy as np
    import openvino
    from openvino import opset14 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    kinds = [f"{number // 2}.{('key', 'value')[number % 2]}" for number in range(len(shapes))]
    inputs = [*INPUTS, *(f"past_key_values.{kind}" for kind in kinds)]
    outputs = ["logits", *(f"present.{kind}" for kind in kinds)]
    for port, name in (*zip(graph.inputs, inputs, strict=True), *zip(graph.outputs, outputs, strict=True)):
        port.get_tensor().set_names({name})
    cached = graph.inputs[len(INPUTS) :]
    for port in graph.inputs[: len(INPUTS)]:
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    order = ops.parameter([-1], dtype=np.int32, name="beam_idx")
    order.output(0).get_tensor().add_names({"beam_idx"})
    for port, (heads, size) in zip(cached, shapes, strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape([-1, heads, -1, size]))
        readers = port.get_node().output(0).get_target_inputs()
        gathered = ops.gather(port.get_node().output(0), order, ops.constant(0))
        for reader in readers:
            reader.replace_source_output(gathered.output(0))
    graph.add_parameters([order])
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, dict(zip(inputs[len(INPUTS) :], outputs[1:], strict=True)))
    rows = ops.gather(ops.shape_of(graph.input("input_ids")), ops.constant([0]), ops.constant(0))
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = node.get_output_partial_shape(0)
            inner = [np.array([each], dtype=np.int64) for each in (heads.get_length(), 0, size.get_length())]
            shape = ops.concat([rows, *map(ops.constant, inner)], axis=0)
            node.set_arguments([ops.broadcast(ops.constant(np.float32(0)), shape)])
    graph.validate_nodes_and_infer_types()
