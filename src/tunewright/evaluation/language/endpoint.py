"""One question to a language model behind an OpenAI-style endpoint, with bounded time and bounded retries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import RequestException
from urllib3 import BaseHTTPResponse, Retry

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import requests

    from tunewright.config.language import Judge

RETRIES = 3
"""After the first try: too many requests, a server's own fault, no connection."""
TIMEOUTS = 1
"""Of these, at most this many because nothing came in time."""
WAITED_FOR = (408, 429, 500, 502, 503, 504)
BACKOFF_SECONDS = 0.5
LONGEST_WAIT = 30.0
"""Seconds between two tries, at most, whatever the server asks for."""
MOST_TOKENS = 16
UNFIT = (400, 401, 403, 404, 405, 413, 422)
"""Answers that stay the same however often one asks."""
BAD_KEY = (401, 403)
OK = 200


class NoAnswerError(TunewrightError):
    """The endpoint gave no usable answer to one question; the next may fare better."""


class Endpoint:
    """Asks questions; a context manager that closes its connections. The key is never written anywhere."""

    def __init__(self, judge: Judge) -> None:
        """Read the key from the environment; where there is none, none is sent.

        Raises:
            InputError: When the address isn't one, or no model is named.
        """
        import requests

        parts = urlsplit(judge.url or "")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(
                "is no http or https address", place="evaluation.generation.judge.url", mend="end it in /v1"
            )
        if not judge.model:
            raise InputError("names no model", place="evaluation.generation.judge.model")
        self._judge = judge
        self._address = f"{(judge.url or '').rstrip('/')}/chat/completions"
        self._place = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        self._session = requests.Session()
        self._session.auth = _Bearer(os.environ.get(judge.key_variable, ""))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_retry()))

    def __enter__(self) -> Endpoint:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._session.close()

    def ask(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the model's reply at temperature 0.

        Raises:
            InputError: When the endpoint refuses the key or the question: asking again is useless.
            NoAnswerError: When it doesn't answer in time, or with anything else than a chat completion.
        """
        question = {
            "model": self._judge.model,
            "messages": [*messages],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        try:
            response = self._session.post(
                self._address, json=question, timeout=self._judge.timeout_s, allow_redirects=False
            )
        except RequestException as error:
            raise NoAnswerError(
                f"gave no answer ({type(error).__name__})",
                place=self._place,
                mend="see that it runs, or raise evaluation.generation.judge.timeout_s",
            ) from error
        return self._reply(response)

    def _reply(self, response: requests.Response) -> str:
        """Take the reply out of a response."""
        status = response.status_code
        if status in BAD_KEY:
            raise InputError(
                f"refuses the key (status {status})",
                place=self._place,
                mend=f"set the environment variable {self._judge.key_variable}",
            )
        if status in UNFIT:
            raise InputError(
                f"refuses the question (status {status})",
                place=self._place,
                mend="see that judge.url ends in /v1 and judge.model is served there",
            )
        if status != OK:
            raise NoAnswerError(f"answered with status {status}", place=self._place)
        try:
            body: Any = response.json()
            reply = body["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise NoAnswerError(
                "answered with something else than a chat completion", place=self._place
            ) from error
        return reply if isinstance(reply, str) else ""


class _Bearer(AuthBase):
    """Sends a key; given as ``auth``, it also keeps requests from sending one out of ``~/.netrc``."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _BoundedRetry(Retry):
    """Waits as long as the server asks, but not for ever."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_WAIT)


def _retry() -> Retry:
    return _BoundedRetry(
        total=RETRIES,
        read=TIMEOUTS,
        redirect=0,
        status_forcelist=WAITED_FOR,
        allowed_methods=None,
        backoff_factor=BACKOFF_SECONDS,
        backoff_max=LONGEST_WAIT,
        raise_on_status=False,
    )
