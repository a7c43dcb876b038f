"""The classifier as plain MLflow opens it; this file travels inside every logged model.

It must run where tunewright isn't installed: it imports only the standard library, mlflow, torch,
transformers, peft (for adapters), numpy and pandas, and loads the cleaning module that lies beside the
weights. MLflow runs it by path ("models from code"); nothing of tunewright imports it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.pyfunc.model import PythonModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WEIGHTS = "model.safetensors"
CLASSIFIER_FOLDER = "artifacts/classifier"
DEFAULT_BATCH_SIZE = 32
CHUNK = 1 << 20


class TextClassifier(PythonModel):
    """Texts in, labels and probabilities out; cleaning and tokenisation are those of training."""

    # MLflow warns on every load about a predict without type hints; ours has a signature instead.
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Open tokenizer, weights and cleaning from the model's artefacts.

        An adapter's base comes from MLflow by the address in ``model_config``, and is checked against the
        digest there.

        Raises:
            ValueError: When the base isn't the one that the adapter was trained on.
        """
        from transformers import AutoTokenizer

        folder = Path(context.artifacts["classifier"])
        config = context.model_config or {}
        facts = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        self.label_names = tuple(facts["label_names"])
        self.max_length = int(facts["max_length"])
        self.cleaning = dict(facts["cleaning"])
        self.batch_size = int(config.get("batch_size") or DEFAULT_BATCH_SIZE)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self._cleaning_module = _module_at(Path(context.artifacts["text_cleaning"]))
        self.model = _adapted(folder, config) if facts["kind"] == "lora" else _whole(folder)

    def clean(self, text: str) -> str:
        """Clean one text as it was cleaned for training."""
        return str(self._cleaning_module.clean_text(text, self.cleaning))

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids, cut at ``max_length``."""
        if not texts:
            return []
        cleaned = [self.clean(text) for text in texts]
        encoded = self.tokenizer(cleaned, truncation=True, max_length=self.max_length, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return [row or [self._blank_id()] for row in ids]

    def logits(self, texts: list[str], *, batch_size: int | None = None) -> npt.NDArray[np.float32]:
        """Score texts in true float32, in batches of similar length.

        Returns:
            float32 of shape (texts, labels), in the order of the texts.
        """
        import numpy as np
        import torch

        size = batch_size or self.batch_size
        ids = self.encode(texts)
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        scores = np.empty((len(ids), len(self.label_names)), dtype=np.float32)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.inference_mode():
                for start in range(0, len(order), size):
                    rows = order[start : start + size]
                    scores[rows] = self._forward([ids[row] for row in rows])
        finally:
            torch.set_float32_matmul_precision(before)
        return scores

    def _forward(self, rows: list[list[int]]) -> npt.NDArray[np.float32]:
        """Score one batch; padding stands on the tokenizer's side and is masked."""
        import numpy as np
        import torch

        longest = max(map(len, rows))
        tokens = np.full((len(rows), longest), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros_like(tokens)
        for at, row in enumerate(rows):
            left = self.tokenizer.padding_side == "left"
            place = slice(longest - len(row), None) if left else slice(len(row))
            tokens[at, place] = row
            mask[at, place] = 1
        answer = self.model(input_ids=torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask))
        scores: npt.NDArray[np.float32] = answer.logits.float().numpy()
        return scores

    def _blank_id(self) -> int:
        """Return the token that stands for an empty text where the tokenizer adds none of its own."""
        found = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return next(int(token) for token in found if token is not None)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002
        """Classify texts (MLflow reads type hints of this method as a schema, so it has none).

        Args:
            context: Unused; ``load_context`` has read it.
            model_input: A list of texts, or a frame with a column ``text`` (or one column of any name).
            params: ``probabilities=True`` adds one column a label.

        Returns:
            A frame with the columns ``label`` and ``probability``.
        """
        import pandas as pd

        texts = _texts(model_input)
        shares = _softmax(self.logits(texts))
        best = shares.argmax(axis=1)
        answers: dict[str, Any] = {
            "label": pd.Series([self.label_names[index] for index in best], dtype="object"),
            "probability": shares.max(axis=1),
        }
        if (params or {}).get("probabilities"):
            answers |= {f"probability_{name}": shares[:, at] for at, name in enumerate(self.label_names)}
        return pd.DataFrame(answers)


def _whole(folder: Path) -> Any:  # noqa: ANN401
    """Open a classifier that holds all its weights, in float32."""
    import torch
    from transformers import AutoModelForSequenceClassification

    # Eager attention, as in training: at these lengths it is also the fastest.
    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def _adapted(folder: Path, config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Open an adapter on the base that it was trained on."""
    from peft import PeftModel

    base = Path(mlflow.artifacts.download_artifacts(artifact_uri=config["base_uri"])) / CLASSIFIER_FOLDER
    if (found := _digest(base / WEIGHTS)) != config["base_weights_sha256"]:
        raise ValueError(
            f"{config['base_uri']}: the base weights have digest {found[:12]}, "
            f"the adapter was trained on {config['base_weights_sha256'][:12]}"
        )
    return PeftModel.from_pretrained(_whole(base), folder).eval()


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            state.update(piece)
    return state.hexdigest()


def _module_at(path: Path) -> ModuleType:
    """Import one file under a name of its own, so that two models' cleaning never mix in one process."""
    spec = importlib.util.spec_from_file_location(f"_text_cleaning_{_digest(path)[:12]}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _texts(model_input: Any) -> list[str]:  # noqa: ANN401
    """Take the texts out of whatever MLflow hands over.

    Raises:
        ValueError: When a row holds no text.
    """
    import pandas as pd

    if isinstance(model_input, str):
        model_input = [model_input]
    if isinstance(model_input, dict):
        model_input = pd.DataFrame(model_input)
    if isinstance(model_input, pd.DataFrame):
        model_input = model_input["text"] if "text" in model_input else model_input.iloc[:, 0]
    texts = list(model_input)
    for row, text in enumerate(texts, start=1):
        if text is None or (isinstance(text, float) and math.isnan(text)):
            raise ValueError(f"row {row} holds no text")
    return [str(text) for text in texts]


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Turn logits into probabilities, in double precision."""
    import numpy as np

    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf)
    powers = np.exp(shifted)
    shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


mlflow.models.set_model(TextClassifier())
