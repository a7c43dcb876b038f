"""A classifier: tokenizer, weights, labels and cleaning as one thing that is saved, opened and asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.heads import digest_weights, encoder_weights, output_layer, without_layer
from tunewright.models.inference import score_ids
from tunewright.models.storage import Description, open_saved, save
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.models.catalogue import Base


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one text."""

    label: str
    probability: float
    """Of ``label``, between 0 and 1."""
    probabilities: Mapping[str, float]
    """By label name, in the order of class ids; they add up to 1."""


class Classifier:
    """Texts in, logits or labels out; fp32, each answer independent of the texts asked beside it.

    Args:
        tokenizer: From ``load_tokenizer``.
        model: A Transformers classifier, or a ``peft.PeftModel`` around one.
        label_names: Position is the class id.
        max_length: Tokens a text is cut at.
        cleaning: ``Cleaning.model_dump()`` of training: asked texts are cleaned the same way.
        base: What the classifier was made from.

    Example:
        ``Classifier.load(folder).predict(["You have WON a prize"])[0].label``
    """

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401
        model: Any,  # noqa: ANN401
        label_names: Sequence[str],
        max_length: int,
        cleaning: Mapping[str, object],
        *,
        base: Base | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.label_names = tuple(label_names)
        self.max_length = max_length
        self.cleaning = dict(cleaning)
        self.base_identity = {"name": base.name, "digest": base.digest} if base else None

    @property
    def is_adapter(self) -> bool:
        """Whether only adapter and head are its own, the encoder being the base's."""
        return hasattr(self.model, "peft_config")

    @property
    def blank_id(self) -> int:
        """The token that stands for an empty text where the tokenizer adds none of its own."""
        found = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return next(int(token) for token in found if token is not None)

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights that an answer needs, the base's included."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    @property
    def owned_bytes(self) -> int:
        """Bytes of the weights that ``save`` writes."""
        return sum(weight.numel() * weight.element_size() for weight in self._owned().values())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Clean and tokenise texts, cut at ``max_length``; special tokens are included.

        Raises:
            InputError: When a row isn't text.
        """
        from tunewright.data.text_cleaning import clean_text

        for row, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise InputError(f"is {type(text).__name__}, not text", place=f"row {row}")
        if not texts:
            return []
        cleaned = [clean_text(text, self.cleaning) for text in texts]
        encoded = self.tokenizer(cleaned, truncation=True, max_length=self.max_length, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return [row or [self.blank_id] for row in ids]

    def logits(self, texts: Sequence[str], *, batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Score texts.

        Args:
            texts: As they come; they are cleaned here.
            batch_size: Texts a forward pass; answers don't depend on it (to about 1e-6).

        Returns:
            float32 (texts, labels), in the order of the texts.
        """
        return score_ids(
            self.model,
            self.encode(texts),
            outputs=len(self.label_names),
            pad_id=self.tokenizer.pad_token_id,
            padding_side=self.tokenizer.padding_side,
            batch_size=batch_size,
        )

    def features(self, texts: Sequence[str], *, batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Return what the last layer sees of each text, float32 (texts, width): texts that it takes for alike are near.

        Args:
            texts: As they come; they are cleaned here.
            batch_size: Texts a forward pass.
        """
        plain = self.model.get_base_model() if self.is_adapter else self.model
        name, layer = output_layer(plain, len(self.label_names))
        with without_layer(plain, name):
            return score_ids(
                plain,
                self.encode(texts),
                outputs=layer.in_features,
                pad_id=self.tokenizer.pad_token_id,
                padding_side=self.tokenizer.padding_side,
                batch_size=batch_size,
            )

    def predict(self, texts: Sequence[str], *, batch_size: int = 32) -> list[Prediction]:
        """Classify texts, in their order."""
        return predictions(self.logits(texts, batch_size=batch_size), self.label_names)

    def merged(self) -> Classifier:
        """Return the same classifier with its adapter folded into the weights; a whole one comes back as it is."""
        if not self.is_adapter:
            return self
        import copy

        plain = copy.deepcopy(self.model).merge_and_unload()
        whole = Classifier(self.tokenizer, plain, self.label_names, self.max_length, self.cleaning)
        whole.base_identity = self.base_identity
        return whole

    def digest(self) -> str:
        """Return the identity of the weights it owns: SHA-256 over them in the order of their names."""
        return digest_weights(iter(sorted(self._owned().items())))

    def save(self, folder: Path) -> None:
        """Write the classifier as a plain Transformers (or PEFT) folder with ``classifier.json`` beside.

        A whole classifier opens with ``AutoModelForSequenceClassification.from_pretrained(folder)``; an
        adapter is written without its base's weights.

        Raises:
            InputError: When ``folder`` holds something else.
            TunewrightError: When it can't be written.
        """
        save(self.model, self.tokenizer, self._description(), folder)

    @classmethod
    def load(cls, folder: Path, *, base_folder: Path | None = None) -> Classifier:
        """Open what ``save`` wrote.

        Args:
            folder: The saved classifier.
            base_folder: For an adapter: the base model, or a classifier with the same encoder.

        Raises:
            InputError: When a file is missing or damaged, an adapter comes without its base, or the base
                isn't the one that the adapter was trained on.
        """
        description, tokenizer, model = open_saved(folder, base_folder)
        opened = cls(tokenizer, model, description.label_names, description.max_length, description.cleaning)
        opened.base_identity = description.identity
        return opened

    def _description(self) -> Description:
        """Return what the weights alone don't say."""
        identity = dict(self.base_identity or {})
        if self.is_adapter:
            identity["encoder"] = digest_weights(encoder_weights(self.model))
        return Description(
            kind="lora" if self.is_adapter else "full",
            label_names=self.label_names,
            max_length=self.max_length,
            cleaning=self.cleaning,
            base=identity or None,
        )

    def _owned(self) -> Mapping[str, Any]:
        """Return the tensors that ``save`` writes, by name."""
        if not self.is_adapter:
            weights: dict[str, Any] = self.model.state_dict()
            return weights
        from peft import get_peft_model_state_dict

        adapter: dict[str, Any] = get_peft_model_state_dict(self.model, save_embedding_layers=False)
        return adapter


def predictions(logits: npt.NDArray[np.float32], label_names: Sequence[str]) -> list[Prediction]:
    """Turn logits (texts, labels) into labels with probabilities, in double precision."""
    import numpy as np

    scores = logits.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return [
        Prediction(
            label=label_names[top],
            probability=float(row[top]),
            probabilities=dict(zip(label_names, row.tolist(), strict=True)),
        )
        for top, row in zip(shares.argmax(axis=1), shares, strict=True)
    ]
