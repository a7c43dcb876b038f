"""Secrets and personal data in texts: counted by kind, or masked; never shown.

Secrets are found by the format detectors of detect-secrets; those that look only for high entropy or for
public addresses are left out, because ordinary prose sets them off. Phone numbers are found by phonenumbers.
E-mail addresses and payment cards need no library: a pattern, and for cards the Luhn checksum (ISO/IEC
7812-1, annex B).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from tunewright.support.errors import InputError

_EMAIL = re.compile(r"[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_CARD = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)")
_MAY_NAME_A_SECRET = re.compile(r"(?i)(?:pass|pwd|secret|key|token|auth|cred).{0,40}[:=]", re.DOTALL)
_KEYWORD = "Secret Keyword"
_NOISY = frozenset({"Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)"})
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
SHORTEST_PHONE = 7
"""Digits of the shortest phone number worth a look."""
SECRET_MASK, EMAIL_MASK, CARD_MASK, PHONE_MASK = "<secret>", "<email>", "<card>", "<phone>"


def secrets(text: str) -> list[str]:
    """Return the kinds of credentials in a text, as ``secret:aws_access_key`` and the like."""
    return [kind for kind, finds in _secret_detectors() if any(True for _ in finds(text))]


def personal_data(text: str, regions: Sequence[str]) -> list[str]:
    """Return the kinds of personal data in a text: ``personal_data:email``, ``…:phone``, ``…:card``.

    Args:
        text: Any text.
        regions: Countries (ISO 3166-1 alpha-2) whose national phone format counts; numbers with a leading
            plus always do.
    """
    found = []
    if "@" in text and _EMAIL.search(text):
        found.append("personal_data:email")
    if sum(character.isdigit() for character in text) >= SHORTEST_PHONE:
        cards = [match.group() for match in _CARD.finditer(text)]
        if any(_passes_luhn(card) for card in cards):
            found.append("personal_data:card")
        elif _has_phone(text, regions):
            found.append("personal_data:phone")
    return found


def mask_private(text: str, regions: Sequence[str] = ()) -> str:
    """Put a mask such as ``<email>`` in the place of each credential and each piece of personal data that is found.

    What the patterns don't know (names, addresses of houses) stays: this lowers what a log gives away, no more.

    Args:
        text: Any text.
        regions: As in ``personal_data``.
    """
    text = _KEY_BLOCK.sub(SECRET_MASK, text)
    found = {secret for _, finds in _secret_detectors() for secret in finds(text) if secret}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, SECRET_MASK)
    while (masked := _without_personal_data(text, regions)) != text:  # a mask may free what stood beside it
        text = masked
    return text


def check_regions(regions: Iterable[str]) -> None:
    """Refuse a country that phonenumbers doesn't know.

    Raises:
        InputError: Naming the first one.
    """
    from phonenumbers import SUPPORTED_REGIONS

    for region in regions:
        if region not in SUPPORTED_REGIONS:
            raise InputError(
                f"'{region}' is not a country code",
                place="data.validation.phone_regions",
                mend="use ISO 3166 codes such as US, GB, DE",
            )


@cache
def _secret_detectors() -> list[tuple[str, Callable[[str], Iterator[str]]]]:
    """Return (kind, finder) of each detector in use."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return [
        (f"secret:{'_'.join(re.findall('[a-z0-9]+', name.lower()))}", _finder(name, plugin()))
        for name, plugin in sorted(plugins.items())
        if name not in _NOISY
    ]


def _finder(name: str, plugin: Any) -> Callable[[str], Iterator[str]]:  # noqa: ANN401
    """Return a function that gives what a plugin finds.

    The keyword detector tries some twenty patterns: a quick look first spares nearly all texts.
    """

    def finds(text: str) -> Iterator[str]:
        if name != _KEYWORD or _MAY_NAME_A_SECRET.search(text):
            yield from plugin.analyze_string(text)

    return finds


def _has_phone(text: str, regions: Sequence[str]) -> bool:
    """Tell whether a text holds a valid phone number, international or of one of the regions."""
    from phonenumbers import PhoneNumberMatcher

    return any(PhoneNumberMatcher(text, region).has_next() for region in (regions or (None,)))


def _without_personal_data(text: str, regions: Sequence[str]) -> str:
    if "@" in text:
        text = _EMAIL.sub(EMAIL_MASK, text)
    if sum(character.isdigit() for character in text) < SHORTEST_PHONE:
        return text
    text = _CARD.sub(lambda match: CARD_MASK if _passes_luhn(match[0]) else match[0], text)
    return _without_phones(text, regions)


def _without_phones(text: str, regions: Sequence[str]) -> str:
    """Mask valid phone numbers, international or of one of the regions."""
    from phonenumbers import PhoneNumberMatcher

    for region in regions or (None,):
        for match in reversed(list(PhoneNumberMatcher(text, region))):
            text = text[: match.start] + PHONE_MASK + text[match.end :]
    return text


def _passes_luhn(number: str) -> bool:
    """Tell whether the digits of a number pass the Luhn checksum."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1
