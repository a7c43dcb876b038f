"""The model that all arms hold, made once from a fixed seed, and the prompts that they are given."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from tunewright.engines.interface import Source
    from tunewright.engines.language_side import LanguageFacts

SEED = 0
CONTEXT = 2048
HEAD_WIDTH = 64
WORD = "w{}"
SPECIAL_IDS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Llama whose input and output embeddings are one table."""

    vocabulary: int = 32_000
    width: int = 768
    layers: int = 12

    @property
    def inner(self) -> int:
        """Width of the feed-forward layers: 8/3, as Llama's."""
        return 8 * self.width // 3

    @property
    def layer_weights(self) -> int:
        """Weights of the layers' products."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.inner)

    @property
    def output_weights(self) -> int:
        """Weights of the output layer, which are those of the embeddings."""
        return self.vocabulary * self.width

    @property
    def weights(self) -> int:
        """All, but for the norms' few."""
        return self.layer_weights + self.output_weights

    @property
    def name(self) -> str:
        """A folder's name."""
        return f"llama-{self.layers}x{self.width}-{self.vocabulary}"


def make_model(folder: Path, shape: Shape) -> Path:
    """Write the model with its tokenizer as a plain Transformers folder, where it isn't there yet."""
    from tunewright.config.language import NewModel
    from tunewright.models.language.fresh import fresh_model, save_fresh
    from tunewright.support.files import writing_folder

    if not folder.is_dir():
        tokenizer = _tokenizer(shape.vocabulary)
        new = NewModel(
            vocabulary=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            layers=shape.layers,
            heads=shape.width // HEAD_WIDTH,
            context=CONTEXT,
        )
        with writing_folder(folder) as target:
            save_fresh(target, tokenizer, fresh_model(tokenizer, new, seed=SEED))
    return folder


def convert_all(model: Path, forms: list[str], folder: Path) -> dict[str, str]:
    """Convert the model, each form once; return the copies' folders by form.

    A form that its engine refuses is told and left out.
    """
    source, facts = _source(model, folder / "source")
    places = {form: _converted(source, facts, form, folder / "copies") for form in forms}
    return {form: str(place) for form, place in places.items() if place}


def prompt_ids(shape: Shape, tokens: int, count: int) -> list[list[int]]:
    """Return prompts of so many tokens, each another one."""
    draw = random.Random(SEED)
    return [[draw.randrange(SPECIAL_IDS, shape.vocabulary) for _ in range(tokens)] for _ in range(count)]


def prompt_text(ids: list[int]) -> str:
    """Return the text that the tokenizer reads as these tokens."""
    return " ".join(map(WORD.format, ids))


def _converted(source: Source, facts: LanguageFacts, form: str, cache: Path) -> Path | None:
    """Convert to one form; None where that can't be done."""
    from tunewright.engines.conversion import convert
    from tunewright.engines.interface import Form
    from tunewright.support.errors import TunewrightError

    try:
        return convert(source, Form.parse(form), cache, language=facts)
    except TunewrightError as error:
        print(f"{form} is left out: {error}", file=sys.stderr, flush=True)
        return None


def _source(model: Path, folder: Path) -> tuple[Source, LanguageFacts]:
    """Describe the model as engines convert it; written once, so that copies are found again."""
    from tunewright.engines.interface import Source
    from tunewright.engines.language_side import LanguageFacts, language_source
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    kept = folder.with_suffix(".json")
    if kept.is_file():
        facts = json.loads(kept.read_text(encoding="utf-8"))
        source = Source(**{**facts["source"], "folder": Path(facts["source"]["folder"])})
        return source, LanguageFacts.model_validate(facts["language"])
    chat = open_chat_tokenizer(model)
    opened = LanguageModel(chat, load_causal(model, chat), max_length=CONTEXT)
    source, language = language_source(opened, folder, probes=[], bound=0.0)
    facts = {"source": asdict(source), "language": language.model_dump(mode="json")}
    kept.write_text(json.dumps(facts, default=str), encoding="utf-8")
    return source, language


def _tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Make a tokenizer of numbered words: a text of n words is n tokens, whatever the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from tunewright.models.language.fresh import PAD, SPECIAL, TEXT_END, TURN_END

    words = dict(zip(SPECIAL, range(SPECIAL_IDS), strict=True))
    words |= {WORD.format(number): number for number in range(SPECIAL_IDS, vocabulary)}
    plain = Tokenizer(models.WordLevel(words, unk_token=TEXT_END))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token=TURN_END,
        pad_token=PAD,
        unk_token=TEXT_END,
        model_max_length=CONTEXT,
        padding_side="left",
    )
