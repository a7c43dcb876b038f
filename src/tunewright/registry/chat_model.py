"""A language model as plain MLflow opens it (``llm/v1/chat``); this file travels inside every logged model.

It must run where tunewright isn't installed: it imports only the standard library, mlflow, torch, transformers and,
for adapters, peft and bitsandbytes. MLflow runs it by path ("models from code"); nothing of tunewright imports it.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc.model import ChatModel
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage, TokenUsageStats

FOLDER = "artifacts/model"
DEFAULT_NEW_TOKENS = 256
CHUNK = 1 << 20


class LanguageModel(ChatModel):
    """Messages in, an answer out: greedy, unless a temperature is asked for."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Open tokenizer and weights from the model's artefacts; an adapter's base comes from MLflow or the hub.

        Raises:
            ValueError: When the base isn't the one that the adapter was trained on.
        """
        from transformers import AutoTokenizer

        folder = Path(context.artifacts["model"])
        config = context.model_config or {}
        self.facts = json.loads((folder / "language_model.json").read_text(encoding="utf-8"))
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = (
            _adapted(folder, config, self.tokenizer) if self.facts["kind"] == "adapter" else _whole(folder)
        )
        known = self.tokenizer.get_vocab()
        self.stop_ids = [known[token] for token in self.facts["stop_tokens"]]
        self.max_length = int(self.facts["max_length"])

    def prompt_ids(self, messages: list[dict[str, Any]], tools: Any = None) -> list[int]:  # noqa: ANN401
        """Render and tokenise messages with the head of an answer behind them."""
        if self.tokenizer.chat_template is None:
            ids = self.tokenizer("\n\n".join(str(each["content"]) for each in messages))["input_ids"]
            return list(ids[:-1] if ids and ids[-1] in self.stop_ids else ids)
        text = self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=True, tokenize=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def write(
        self,
        ids: list[int],
        *,
        max_new_tokens: int,
        temperature: float | None = None,
        top_p: float | None = None,
    ) -> list[int]:
        """Go on from token ids; the stop token is the last one returned, where one was reached.

        Raises:
            ValueError: When the prompt leaves no room for an answer.
        """
        import torch
        from transformers import GenerationConfig

        room = self.max_length - len(ids)
        if room < 1:
            raise ValueError(f"the conversation has {len(ids)} tokens and the model reads {self.max_length}")

        sampled = bool(temperature)
        make: Any = GenerationConfig
        settings = make(
            do_sample=sampled,
            max_new_tokens=min(max_new_tokens, room),
            eos_token_id=self.stop_ids or None,
            pad_token_id=self.tokenizer.pad_token_id,
            repetition_penalty=1.0,
            temperature=temperature if sampled else 1.0,
            top_p=top_p if sampled and top_p else 1.0,
            top_k=0 if sampled else 50,
        )
        inputs = torch.tensor([ids], device=self.model.device)
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=inputs, attention_mask=torch.ones_like(inputs), generation_config=settings
            )
        new: list[int] = found[0, inputs.shape[1] :].tolist()
        return new

    def predict(self, context: Any, messages: Any, params: Any) -> ChatCompletionResponse:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Answer a conversation.

        Args:
            context: Unused; ``load_context`` has read it.
            messages: The conversation so far, MLflow's ``ChatMessage``.
            params: MLflow's ``ChatParams``: ``max_tokens``, ``temperature`` and ``top_p`` are honoured.
        """
        rows: list[dict[str, Any]] = [
            {name: value for name, value in each.to_dict().items() if value is not None} for each in messages
        ]
        ids = self.prompt_ids(rows)
        new = self.write(
            ids,
            max_new_tokens=params.max_tokens or DEFAULT_NEW_TOKENS,
            # MLflow's own default is 1.0, which would make answers differ from call to call unasked.
            temperature=None if params.temperature in (None, 1.0) else params.temperature,
            top_p=params.top_p,
        )
        finished = bool(new) and new[-1] in self.stop_ids
        text = str(self.tokenizer.decode(new[:-1] if finished else new, skip_special_tokens=True)).strip()
        return ChatCompletionResponse(
            choices=[
                ChatChoice(
                    index=0,
                    message=ChatMessage(role="assistant", content=text),
                    finish_reason="stop" if finished else "length",
                )
            ],
            usage=TokenUsageStats(
                prompt_tokens=len(ids), completion_tokens=len(new), total_tokens=len(ids) + len(new)
            ),
            id=f"chatcmpl-{uuid.uuid4().hex}",
            model=str((self.facts.get("base") or {}).get("name") or "tunewright"),
            created=int(time.time()),
        )


def _whole(folder: Path, *, load_in: str = "full") -> Any:  # noqa: ANN401
    """Open a model that holds all its weights, in float32 or in few bits."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    held = {
        "full": None,
        "8bit": {"load_in_8bit": True},
        "4bit": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": torch.float32,
        },
    }[load_in]
    make: Any = BitsAndBytesConfig
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=make(**held) if held else None
    )
    for module in model.modules():
        # bitsandbytes would compute with other numbers than in training on some processors.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.eval()


def _adapted(folder: Path, config: dict[str, Any], tokenizer: Any) -> Any:  # noqa: ANN401
    """Open an adapter on the base that it was trained on."""
    from peft import PeftModel

    base = _base_folder(config)
    if config.get("base_weights_sha256") and (found := _digest(base)) != config["base_weights_sha256"]:
        raise ValueError(
            f"{config['base_uri']}: the base weights have digest {found[:12]}, "
            f"the adapter was trained on {config['base_weights_sha256'][:12]}"
        )
    model = _whole(base, load_in=str(config.get("load_in") or "full"))
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(int(config["embedding_rows"]), mean_resizing=False)
    return PeftModel.from_pretrained(model, str(folder)).eval()


def _base_folder(config: dict[str, Any]) -> Path:
    """Fetch the base: a logged model, or a repository of the hub at its revision."""
    uri = str(config["base_uri"])
    if uri.startswith("models:/"):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)) / FOLDER
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(uri, revision=config.get("base_revision")))


def _digest(folder: Path) -> str:
    """Return one SHA-256 over the weight files, by name."""
    state = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        state.update(path.name.encode())
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                state.update(piece)
    return state.hexdigest()


mlflow.models.set_model(LanguageModel())
