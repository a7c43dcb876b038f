"""Tokenizers: loading with a padding rule, the length limit, and checks against the model and this data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.models.coverage import Coverage, TokenizerReport, measure_coverage
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.schema import ModelConfig
    from tunewright.models.catalogue import Base

__all__ = [
    "TokenizerReport",
    "check_tokenizer",
    "load_tokenizer",
    "model_limit",
    "quiet_transformers",
    "special_token_faults",
    "text_limit",
]

DEFAULT_MAX_LENGTH = 256
"""Tokens a text when the recipe says nothing: nearly all messages fit, and time stays bounded."""
UNLIMITED = 1_000_000
"""Transformers writes a huge number where a tokenizer has no limit of its own."""
OFFSET_POSITIONS = frozenset(
    {
        "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "markuplm",
        "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip
"""Architectures whose first token has position ``pad_token_id + 1``, as fairseq numbered them."""
MPNET, MPNET_OFFSET = "mpnet", 2
"""MPNet numbers likewise, but from 2 whatever its configuration says."""
PAD_LEFT = frozenset({"xlnet"})
"""Architectures that read their answer off the last position, so padding has to stand in front."""
LOST_ROWS_SHARE = 0.001
"""Rows that may lose a character (a normaliser's oddities): one in a thousand; a broken tokenizer loses far more."""
SPARSE_VOCABULARY = 0.9
"""A tokenizer that fills less of the embedding table than this is worth a note."""


def load_tokenizer(base: Base, config: ModelConfig) -> Any:  # noqa: ANN401
    """Load a base model's tokenizer and make sure that it can pad.

    Where none is declared, the unknown token pads (models with byte fallback never emit it), else the end
    token (nothing is learned from single tokens here, so a stop token can't be spoilt). Padding stands
    behind the text, except for architectures that read their answer off the last position.

    Returns:
        A Transformers tokenizer.

    Raises:
        InputError: When there is none, it is damaged, runs code that wasn't allowed, or can't pad.
    """
    from transformers import AutoTokenizer

    from tunewright.models.checkpoints import read_settings

    kind = read_settings(base.folder)["model_type"]
    try:
        with quiet_transformers():
            # As arguments these are saved with the tokenizer; set later as attributes they would be lost.
            tokenizer = AutoTokenizer.from_pretrained(
                base.folder,
                padding_side="left" if kind in PAD_LEFT else "right",
                truncation_side="right",
                trust_remote_code=config.trust_remote_code,
            )
    except Exception as error:
        raise InputError(
            f"the tokenizer can't be loaded ({_first_line(error)})",
            place=str(base.folder),
            mend=_loading_mend(error),
        ) from error
    if tokenizer is None or not len(tokenizer):
        raise InputError("has no tokenizer", place=str(base.folder), mend="add its tokenizer.json")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _padding_token(tokenizer, base)
    return tokenizer


def _padding_token(tokenizer: Any, base: Base) -> str:  # noqa: ANN401
    """Choose a padding token for a tokenizer that declares none."""
    for token in (tokenizer.unk_token, tokenizer.eos_token):
        if token is not None:
            return str(token)
    raise InputError(
        "the tokenizer has no padding, unknown or end token",
        place=str(base.folder),
        mend='name one in tokenizer_config.json, such as "pad_token": "[PAD]"',
    )


def _loading_mend(error: Exception) -> str:
    """Say what to do about a tokenizer that can't be loaded."""
    if "trust_remote_code" in str(error):
        return "it brings its own code: read it, then set model.trust_remote_code=true"
    return "download or save the model again with its tokenizer files"


def text_limit(model: Any, tokenizer: Any, config: ModelConfig) -> int:  # noqa: ANN401
    """Return how many tokens of a text are read, special tokens included.

    Args:
        model: A ``Base`` or a Transformers configuration.
        tokenizer: Its tokenizer.
        config: ``max_length`` is taken when set.

    Raises:
        InputError: When ``max_length`` is more than the model can read.
    """
    most = model_limit(_settings(model), tokenizer)
    if config.max_length is None:
        return min(DEFAULT_MAX_LENGTH, most or DEFAULT_MAX_LENGTH)
    if most is not None and config.max_length > most:
        raise InputError(
            f"{config.max_length} tokens are more than {config.name} can read",
            place="model.max_length",
            mend=f"take at most {most}",
        )
    return config.max_length


def model_limit(settings: Any, tokenizer: Any) -> int | None:  # noqa: ANN401
    """Return the longest input that model and tokenizer allow; ``None`` when neither has a limit."""
    limits = []
    positions = getattr(settings, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - _position_offset(settings))
    if tokenizer.model_max_length < UNLIMITED:
        limits.append(int(tokenizer.model_max_length))
    return min(limits, default=None)


def _position_offset(settings: Any) -> int:  # noqa: ANN401
    """Return the position of the first token."""
    if settings.model_type == MPNET:
        return MPNET_OFFSET
    return (settings.pad_token_id or 0) + 1 if settings.model_type in OFFSET_POSITIONS else 0


def check_tokenizer(
    tokenizer: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    texts: Sequence[str],
    config: ModelConfig,
) -> TokenizerReport:
    """Check that tokenizer and model belong together and that this data survives the tokenizer.

    Large data is judged by a sample, which is the same on every run.

    Args:
        tokenizer: From ``load_tokenizer``.
        model: The ``Base`` or its Transformers configuration.
        texts: Cleaned texts, the training rows for instance.
        config: ``max_unknown_share`` and ``max_length``.

    Raises:
        InputError: When the model lacks embeddings for the tokenizer, when characters vanish, or when too
            many tokens are unknown.
    """
    settings = _settings(model)
    limit = text_limit(settings, tokenizer, config)
    rows = getattr(settings.get_text_config(), "vocab_size", None)
    if rows is None:
        raise InputError(
            f"'{settings.model_type}' is no text model", place=config.name, mend="take an encoder for text"
        )
    if len(tokenizer) > rows:
        raise InputError(
            f"the tokenizer has {len(tokenizer):,} tokens, the model embeds {rows:,}",
            place=config.name,
            mend="take the tokenizer that the model was trained with",
        )
    coverage = measure_coverage(tokenizer, texts, limit=limit)
    _require_embedded(coverage, rows, config)
    _require_nothing_lost(coverage, config)
    _require_known(coverage, config)
    return coverage.report(limit=limit, notes=tuple(_notes(tokenizer, rows, coverage)))


def _require_embedded(coverage: Coverage, rows: int, config: ModelConfig) -> None:
    """Refuse token ids beyond the embedding table (a vocabulary with gaps can be short and yet reach too far)."""
    if coverage.largest_id >= rows:
        raise InputError(
            f"the tokenizer gives token id {coverage.largest_id}, the model embeds {rows:,}",
            place=config.name,
            mend="take the tokenizer that the model was trained with",
        )


def _require_nothing_lost(coverage: Coverage, config: ModelConfig) -> None:
    """Refuse a tokenizer that drops characters without a trace."""
    share = coverage.lost_rows / coverage.rows if coverage.rows else 0.0
    if share > LOST_ROWS_SHARE:
        examples = " ".join(coverage.lost_characters)
        raise InputError(
            f"the tokenizer drops characters without a trace in {share:.1%} of the texts (such as {examples})",
            place=config.name,
            mend="repair its tokenizer files (an unknown token or byte fallback), or take another base",
        )


def _require_known(coverage: Coverage, config: ModelConfig) -> None:
    """Refuse a tokenizer that knows too little of this data."""
    if coverage.unknown_share > config.max_unknown_share:
        examples = " ".join(coverage.unknown_examples)
        raise InputError(
            f"{coverage.unknown_share:.1%} of the tokens are unknown to the tokenizer (such as {examples})",
            place=config.name,
            mend=f"take another base, clean the texts, or raise model.max_unknown_share "
            f"({config.max_unknown_share:.1%})",
        )


def _notes(tokenizer: Any, rows: int, coverage: Coverage) -> Iterator[str]:  # noqa: ANN401
    """Say what is odd about a tokenizer and yet no reason to stop."""
    for token, number, named in _misread(tokenizer):
        yield f"special token {token!r} has id {number}, which reads back as {named!r}: other engines may differ"
    altered = _normalised_tokens(tokenizer)
    if altered:
        yield f"special tokens {', '.join(altered)} pass through the normaliser: other engines may spell them otherwise"
    if tokenizer.pad_token_id == tokenizer.unk_token_id and coverage.unknown_share:
        yield "the padding token is also the unknown token, which these texts contain"
    if len(tokenizer) < SPARSE_VOCABULARY * rows:
        yield f"the tokenizer uses {len(tokenizer):,} of {rows:,} embeddings: is it this model's own?"
    if coverage.special_rows:
        yield f"{coverage.special_rows} texts spell out a special token, which the model reads as that token"


def special_token_faults(tokenizer: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401
    """Say which special tokens other engines would read otherwise than Transformers does, a line each.

    They read ``tokenizer.json`` as it stands: there a special token that passes through a normaliser gets another
    spelling, and with it another id or none.

    Args:
        tokenizer: From ``folder``.
        folder: Holds ``tokenizer.json``; without it there is nothing to compare.
    """
    faults = [
        f"special token {token!r} has id {number}, which reads back as {named!r}"
        for token, number, named in _misread(tokenizer)
    ]
    path = folder / "tokenizer.json"
    if path.is_file():
        from tokenizers import Tokenizer

        normalizer = Tokenizer.from_file(str(path)).normalizer
        for token in _normalised_tokens(tokenizer) if normalizer else []:
            spelt = normalizer.normalize_str(token)
            if spelt != token:
                faults.append(f"special token {token!r} passes through the normaliser and becomes {spelt!r}")
    return tuple(faults)


def _misread(tokenizer: Any) -> Iterator[tuple[str, int, str]]:  # noqa: ANN401
    """Give the special tokens whose id names another token: token, id, what the id names."""
    vocabulary = tokenizer.get_vocab()
    for token in dict.fromkeys(tokenizer.all_special_tokens):
        number = tokenizer.convert_tokens_to_ids(token)
        named = tokenizer.convert_ids_to_tokens(number)
        if named != token or vocabulary.get(token) != number:
            yield token, number, named


def _normalised_tokens(tokenizer: Any) -> list[str]:  # noqa: ANN401
    """Return the special tokens that are matched only after the normaliser."""
    added = tokenizer.added_tokens_decoder.values()
    return [str(token) for token in added if token.special and token.normalized]


def _settings(model: Any) -> Any:  # noqa: ANN401
    """Return the Transformers configuration of a base, or what is one already."""
    if hasattr(model, "model_type"):
        return model
    from tunewright.models.loading import read_config

    return read_config(model.folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep load reports and bars of Transformers off the screen: what matters in them is checked here."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
