"""For whom a request is: API keys, what they open, and how much they may use.

Without keys everybody is let in. Keys are asked for when the settings say so, when the server can be reached from
other machines, and from the moment at which the project has a key file.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
from typing import TYPE_CHECKING

from tunewright.serving.asked import Caller, by_address
from tunewright.serving.faults import ServingError, unavailable
from tunewright.serving.limits import MINUTE
from tunewright.support.errors import TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.asked import Asked, Finished
    from tunewright.serving.keys import Key, KeyStore, Scope
    from tunewright.serving.limits import Admission, Limit, RateLimiter

OPEN_TO_ALL = ("/",)
"""The page for people: a browser brings no key to it or to its files (``UNGUARDED``), and they hold nothing."""
ANY_KEY = ("/openapi.json",)
"""What every key opens, whatever its scopes."""
SCOPE_OF: dict[str, Scope] = {"/metrics": "metrics", "/v1/feedback": "feedback"}
"""Scopes of paths; all others, known or not, need ``infer``."""
HEADERS = ("x-api-key", "api-key")
"""Headers that hold a secret and nothing else, beside ``Authorization: Bearer``."""
BYTES_A_TOKEN = 4
"""Of English text, about: so many tokens are taken for a request until its answer tells how many they were."""
log = logging.getLogger(__name__)


class KeyAuthoriser:
    """Says for whom a request is by its API key.

    Args:
        store: The keys.
        limiter: Counts what each key uses.
        is_required: Whether keys are asked for though there is no key file yet; once there was one, they always are.
    """

    def __init__(self, store: KeyStore, limiter: RateLimiter, *, is_required: bool) -> None:
        self._store = store
        self._limiter = limiter
        self._is_required = is_required
        self._known: tuple[Key, ...] = ()
        self._told = ""

    def __call__(self, asked: Asked) -> Caller:
        """Return the key's name and scopes.

        Raises:
            ServingError: Status 401 without a key that is known, 403 without the scope, 429 beyond a limit, 503 while
                the key file can't be read.
        """
        if asked.path in OPEN_TO_ALL or not self._asks_for_keys():
            return by_address(asked)
        key = self._key(_secret(asked))
        scope = None if asked.path in ANY_KEY else SCOPE_OF.get(asked.path, "infer")
        if scope is not None and not key.may(scope):
            raise ServingError(
                f"the key '{key.name}' doesn't open this",
                status=403,
                code="insufficient_scope",
                mend=f"use a key with the scope {scope}",
            )
        self._take(asked, key)
        return Caller(key.name, frozenset(key.scopes))

    def settle(self, finished: Finished) -> None:
        """Take the tokens that an answer really used, in place of those that were expected."""
        used = finished.tokens + finished.tokens_out
        if finished.reserved or used:
            self._limiter.settle(finished.key, expected=finished.reserved, used=used)

    def _asks_for_keys(self) -> bool:
        if not self._is_required:
            self._is_required = _is_there(self._store)
        return self._is_required

    def _key(self, secret: str) -> Key:
        """Find the key of a secret."""
        if not secret:
            raise _unknown("there is no API key in the request")
        try:
            key = self._store.check(secret)
            known = self._store.known()
        except (TunewrightError, OSError) as error:
            self._say_once(str(error))
            raise unavailable("the API keys can't be read, and nobody is let in", "keys_unreadable") from None
        if known is not self._known:
            self._known, self._told = known, ""
            self._limiter.forget({each.name for each in known})
        if key is None:
            raise _unknown("the API key is unknown, expired or revoked")
        return key

    def _take(self, asked: Asked, key: Key) -> None:
        """Take a request and its expected tokens out of the key's limits."""
        most = key.tokens_per_minute
        expected = 0 if most is None or SCOPE_OF.get(asked.path) else min(most, _expected_tokens(asked))
        admission = self._limiter.admit(
            key.name,
            requests_per_minute=key.requests_per_minute,
            tokens_per_minute=most,
            tokens=expected,
        )
        asked.told = self._state(key)
        if not admission.is_allowed:
            raise _beyond(key, admission)
        asked.reserved = expected

    def _state(self, key: Key) -> dict[str, str]:
        """Return the headers that tell a key what is left for it."""
        limits: tuple[tuple[Limit, int | None], ...] = (
            ("requests", key.requests_per_minute),
            ("tokens", key.tokens_per_minute),
        )
        found: dict[str, str] = {}
        for limit, most in limits:
            if most is not None:
                left = self._limiter.remaining(key.name, limit, most)
                found[f"x-ratelimit-limit-{limit}"] = str(most)
                found[f"x-ratelimit-remaining-{limit}"] = str(left)
                found[f"x-ratelimit-reset-{limit}"] = f"{math.ceil((most - left) * MINUTE / most)}s"
        return found

    def _say_once(self, words: str) -> None:
        if words != self._told:
            self._told = words
            log.error("nobody is let in: %s", words)


def is_loopback(host: str) -> bool:
    """Tell whether this machine alone can reach an address; False where it can't be told."""
    try:
        address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
        return ipaddress.ip_address(str(address).partition("%")[0]).is_loopback
    except (OSError, UnicodeError, ValueError):
        return False


def _is_there(store: KeyStore) -> bool:
    """Tell whether there is a key file; one that can't be looked at counts."""
    try:
        store.path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _secret(asked: Asked) -> str:
    """Return the secret that a request brings; empty without one."""
    scheme, _, given = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip()
    return next((found for name in HEADERS if (found := asked.headers.get(name, "").strip())), "")


def _expected_tokens(asked: Asked) -> int:
    length = asked.headers.get("content-length", "")
    return max(1, int(length) // BYTES_A_TOKEN) if length.isdecimal() else 1


def _unknown(fact: str) -> ServingError:
    return ServingError(
        fact,
        status=401,
        code="invalid_api_key",
        mend="send `Authorization: Bearer tw-…`; `tunewright keys make` makes a key",
        headers={"www-authenticate": "Bearer"},
    )


def _beyond(key: Key, admission: Admission) -> ServingError:
    wait = admission.retry_after or math.ceil(MINUTE)
    return ServingError(
        f"the key '{key.name}' has used its {admission.limit} of a minute",
        status=429,
        code="rate_limit_exceeded",
        mend=f"ask again in {wait} s",
        headers={"retry-after": str(wait)},
    )
