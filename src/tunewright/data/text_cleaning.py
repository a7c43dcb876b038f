"""Text cleaning as a table of small steps.

This module uses the standard library alone: a copy of it travels inside every logged model, so that a text is
cleaned in production exactly as it was before training.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from html.entities import html5

USER_MASK = "<user>"
URL_MASK = "<url>"

# Only references that end in a semicolon: the HTML rule that also reads "&copy=" would damage web addresses.
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# "&amp;amp;amp;lt;" is unescaped in one go; one level a pass would take quadratic time on hostile input.
NESTED_AMPERSAND = re.compile(r"&(?:amp;|AMP;|#0{0,5}38;|#[xX]0{0,4}26;)+")

# These separate words, so that dropping them would glue two words together.
SEPARATORS = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
# Windows-1252 that was read as Latin-1 leaves its quotes and dashes as C1 controls; HTML maps them back likewise.
MISREAD = {
    code: character
    for code in (*range(0x80, 0x85), *range(0x86, 0xA0))
    if (character := bytes([code]).decode("cp1252", "ignore"))
}
# C0 and C1 controls, soft hyphen, zero-width and direction marks, byte order mark, tags, lone surrogates.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# Joiners shape emoji and Indic and Persian words, and only hide letters beside ASCII.
JOINER = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])")

MENTION = re.compile(r"(?<![\w@./])@\w+")
URL = re.compile(r"(?<!\w)(?:https?://|ftp://|www\.)[^\s<>\"]+", re.IGNORECASE)


def cast(text: object, setting: object = True) -> str:
    """Turn numbers and booleans into text (``5`` into ``5``, ``True`` into ``true``); text stays as it is.

    Raises:
        TypeError: For anything else, and for numbers when the step is off.
    """
    if isinstance(text, str):
        return text
    if not setting or not isinstance(text, bool | int | float):
        raise TypeError(f"a text is expected, not {type(text).__name__}")
    return str(text).lower() if isinstance(text, bool) else str(text)


def unicode_nfc(text: str, setting: object) -> str:
    """Compose letters and accents (Unicode normal form C)."""
    return unicodedata.normalize("NFC", text) if setting and not text.isascii() else text


def html_entities(text: str, setting: object) -> str:
    """Turn HTML entities into their characters, however often they were escaped."""
    if not setting or "&" not in text:
        return text
    while True:
        known = ENTITY.sub(_character, NESTED_AMPERSAND.sub("&", text))
        if known == text:
            return text
        text = known


def control_characters(text: str, setting: object) -> str:
    """Drop control and zero-width characters; those that separate words become a space, misread quotes quotes."""
    if not setting or (text.isascii() and text.isprintable()):
        return text
    text = INVISIBLE.sub("", SEPARATORS.sub(" ", text.translate(MISREAD)))
    while (known := JOINER.sub("", text)) != text:
        text = known
    return text


def mentions(text: str, setting: object) -> str:
    """Keep, mask or drop ``@name``."""
    if setting == "keep" or "@" not in text:
        return text
    return MENTION.sub(USER_MASK if setting == "mask" else "", text)


def urls(text: str, setting: object) -> str:
    """Keep, mask or drop web addresses."""
    return text if setting == "keep" else URL.sub(URL_MASK if setting == "mask" else "", text)


def whitespace(text: str, setting: object) -> str:
    """Collapse runs of white space into one space and trim the ends."""
    return " ".join(text.split()) if setting else text


STEPS: tuple[tuple[str, Callable[[str, object], str]], ...] = (
    ("cast", cast),
    ("unicode_nfc", unicode_nfc),
    ("html_entities", html_entities),
    ("control_characters", control_characters),
    ("mentions", mentions),
    ("urls", urls),
    ("whitespace", whitespace),
)
"""Every step, by the name of its setting, in the order in which they run."""

OFF: Mapping[str, object] = {"mentions": "keep", "urls": "keep"}
"""What a step that isn't in the settings takes; the others take ``False``."""


def clean_text(text: str, settings: Mapping[str, object]) -> str:
    """Clean one text; cleaning it again changes nothing.

    Args:
        text: The text as it was read.
        settings: Step name to setting, as in the ``cleaning`` section of the recipe.

    Returns:
        The cleaned text.
    """
    return trace_cleaning(text, settings)[0]


def trace_cleaning(text: str, settings: Mapping[str, object]) -> tuple[str, frozenset[str]]:
    """Clean one text and say which steps changed it.

    One step can make work for an earlier one (a character that is dropped from the middle of an entity
    completes it), so the steps run until nothing changes. They end: each takes away what it looks for.
    """
    changed: set[str] = set()
    while True:
        before = text
        for name, step in STEPS:
            after = step(text, settings.get(name, OFF.get(name, False)))
            if after is not text and after != text:
                changed.add(name)
                text = after
        if text == before:
            return text, frozenset(changed)


def _character(match: re.Match[str]) -> str:
    """Return the characters of one entity; a name that HTML doesn't know stays as it is."""
    reference = match.group()
    return html.unescape(reference) if reference[1] == "#" else html5.get(reference[1:], reference)
