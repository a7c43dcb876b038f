"""The files of the page at ``/``, each with the headers that it is sent with."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files

INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""Content types by file ending; files with other endings are not sent."""
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no way to turn a text into HTML."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file."""

    body: bytes
    kind: str
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an answer with it, or without it where the browser has it already."""
        return {
            "cache-control": "no-cache",  # asked for again each time, and mostly answered with 304
            "etag": self.etag,
            "content-security-policy": POLICY,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }

    def is_known(self, etags: str) -> bool:
        """Tell whether ``if-none-match`` names this very file; proxies may have weakened the tag."""
        return any(each.strip().removeprefix("W/") in {self.etag, "*"} for each in etags.split(","))


@functools.cache
def page_files() -> dict[str, PageFile]:
    """Return all files by name, read once."""
    found = {}
    for each in files("tunewright.serving").joinpath("page").iterdir():
        kind = KINDS.get(each.name.rpartition(".")[2])
        if kind:
            body = each.read_bytes()
            found[each.name] = PageFile(body, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found
