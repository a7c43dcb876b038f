"""Read a search space from words in Hydra's sweep syntax, and refuse what makes no sense before anything runs.

https://hydra.cc/docs/advanced/override_grammar/extended describes the syntax. Hydra parses it; what its functions
mean for a search is as in Hydra's own sweepers: ``choice`` and comma lists are categories, ``interval`` is continuous
(whole for a whole-numbered field) with both ends in it, ``range`` is a grid whose stop is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.config.compose import field_types, groups, text_keys
from tunewright.pipeline.search_space import SECTIONS, Choices, Dimension, Numbers, SearchSpace, Value
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

WITHOUT_EFFECT = {
    "model.trust_remote_code", "model.max_unknown_share", "training.device", "training.threads",
    "training.logging_steps", "training.checkpoint_steps", "training.keep_checkpoints",
}  # fmt: skip
"""Say where a training runs and how it is watched, not what comes of it."""
ON_LOG_SCALE = {"training.learning_rate"}
"""Searched on a log scale without being told, when the interval spans a power of ten."""
SPAN = 10.0
EXAMPLE = "training.learning_rate='interval(1e-5,1e-3)'"


def read_space(words: Sequence[str], configs: Path) -> SearchSpace:
    """Sort overrides into those that are searched and those that hold for all trials.

    Args:
        words: Overrides such as ``training.learning_rate=interval(1e-5,1e-3)`` or ``training=full,lora``.
        configs: The project's ``configs/``, for the options of groups.

    Raises:
        InputError: When nothing is searched, a field can't be, or a range makes no sense.
    """
    dimensions: dict[str, Dimension] = {}
    fixed = []
    for word in words:
        key, _, text = word.lstrip("+").partition("=")
        sweep = None if word.startswith("~") else _sweep(key, text, configs)
        if sweep is None:
            fixed.append(word)
        elif key in dimensions:
            raise InputError("is searched twice", place=key, mend="give one range")
        else:
            dimensions[key] = Dimension(key, _domain(key, sweep, configs))
    if not dimensions:
        raise InputError("nothing to search", mend=f"give a field a range: {EXAMPLE}")
    return SearchSpace(tuple(dimensions.values()), tuple(fixed))


def _sweep(key: str, text: str, configs: Path) -> Override | None:
    """Let Hydra read a word's value; ``None`` for one plain value.

    Raises:
        InputError: When Hydra can't read it, or a field is to be searched that no trial reads.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    is_text = key in text_keys()
    try:
        found = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        if is_text:  # a path or an address, which needn't follow Hydra's grammar
            return None
        fact = str(error).strip().splitlines()[0].split(": ", 1)[-1]
        raise InputError(
            f"can't be read ({fact})",
            place=f"{key}={text}",
            mend="write interval(LOW,HIGH), range(START,STOP,STEP), choice(A,B) or A,B",
        ) from error
    if not found.is_sweep_override() or (is_text and _is_one_text(found, text, configs)):
        return None
    _refuse_unread(key, configs)
    return found


def _is_one_text(found: Override, text: str, configs: Path) -> bool:
    """Tell whether a comma in a text belongs to it: it names a file, or the field isn't one of a trial."""
    from hydra.core.override_parser.types import ChoiceSweep

    simple = isinstance(value := found.value(), ChoiceSweep) and value.simple_form
    searchable = found.key_or_group.partition(".")[0] in SECTIONS
    return simple and (not searchable or (configs.parent / text).exists())


def _refuse_unread(key: str, configs: Path) -> None:
    """Refuse to search what no trial reads."""
    if key not in groups(configs):
        field_types(key)
    if key.partition(".")[0] not in SECTIONS:
        raise InputError(
            f"can't be searched: a trial reads {' and '.join(SECTIONS)} alone",
            place=key,
            mend="give it one value, which then holds for all trials",
        )
    if key in WITHOUT_EFFECT:
        raise InputError("can't be searched: no weight depends on it", place=key, mend="give it one value")


def _domain(key: str, found: Override, configs: Path) -> Numbers | Choices:
    """Turn what Hydra read into the values to search."""
    sweep: Any = found.value()
    if found.is_interval_sweep():
        return _interval(key, sweep)
    if found.is_range_sweep() and not sweep.shuffle:
        return _range(key, sweep)
    if key in groups(configs):
        return _options(key, sweep, configs)
    if not hasattr(sweep, "list"):  # Hydra's glob
        raise InputError(
            "glob is for groups of options",
            place=key,
            mend="write choice(A,B), or a group such as training=glob(*)",
        )
    return _choices(sweep)


def _interval(key: str, sweep: IntervalSweep) -> Numbers:
    low, high = float(sweep.start or 0), float(sweep.end or 0)
    whole = _is_whole(key) or "int" in sweep.tags
    _refuse_disorder(key, low, high)
    spans = low > 0 and high / low >= SPAN
    log = "log" in sweep.tags or (key in ON_LOG_SCALE and spans and "linear" not in sweep.tags)
    if log and low <= 0:
        raise InputError("a log scale has no zero", place=key, mend="begin the interval above 0")
    if whole and not (low.is_integer() and high.is_integer()):
        raise InputError(
            "takes whole numbers", place=key, mend="begin and end the interval with whole numbers"
        )
    return Numbers(low, high, log=log, whole=whole)


def _range(key: str, sweep: RangeSweep) -> Numbers:
    """Return a grid; as in Python and in Hydra's own words, the stop isn't in it."""
    start, stop, step = (Decimal(str(each)) for each in (sweep.start, sweep.stop, sweep.step))
    if not step or (stop - start) / step <= 0:
        raise InputError(
            "the range is empty", place=key, mend="write range(START,STOP,STEP) with START below STOP"
        )
    last = start + (math.ceil((stop - start) / step) - 1) * step
    whole = all(isinstance(each, int) for each in (sweep.start, sweep.stop, sweep.step))
    low, high = sorted((float(start), float(last)))
    _refuse_words(key)
    if not whole and _is_whole(key):
        raise InputError("takes whole numbers", place=key, mend="write the range with whole numbers")
    if "log" in sweep.tags:
        raise InputError("a grid has no log scale", place=key, mend="write tag(log,interval(LOW,HIGH))")
    return Numbers(low, high, step=float(abs(step)), whole=whole)


def _choices(sweep: ChoiceSweep) -> Choices:
    from hydra.core.override_parser.types import Override, QuotedString

    def plain(value: Any) -> Value:  # noqa: ANN401 - whatever Hydra's grammar has
        if isinstance(value, QuotedString):
            return value.text
        if value is None or isinstance(value, str | int | float | bool):
            return value
        return Override._get_value_element_as_str(value)  # a list, in Hydra's own words

    values: list[Value] = []
    for value in map(plain, sweep.list):
        if not any(type(value) is type(other) and value == other for other in values):
            values.append(value)
    return Choices(tuple(values))


def _options(key: str, sweep: Any, configs: Path) -> Choices:  # noqa: ANN401 - choices or Hydra's glob
    """Return options of a group; ``compose`` refuses one that doesn't exist."""
    known = groups(configs)[key]
    return _choices(sweep) if hasattr(sweep, "list") else Choices(tuple(sweep.filter(known)))


def _is_whole(key: str) -> bool:
    """Tell whether a field takes whole numbers; refuse one that takes none at all."""
    _refuse_words(key)
    return float not in field_types(key)


def _refuse_words(key: str) -> None:
    if "." not in key or not {int, float} & set(field_types(key)):
        raise InputError("takes words, not numbers", place=key, mend="write choice(A,B)")


def _refuse_disorder(key: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"the interval from {low:g} to {high:g} is empty", place=key, mend="write interval(LOW,HIGH)"
        )
