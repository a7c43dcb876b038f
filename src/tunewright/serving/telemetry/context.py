"""The trace that a request belongs to: its client's, as the header ``traceparent`` says (W3C), or one of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from secrets import token_hex

HEADER = "traceparent"
FORM = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request's span belongs."""

    trace_id: str
    parent_id: str = ""
    """The client's span; empty where the trace begins here."""
    is_sampled: bool = True
    """False where the client says that nobody keeps this trace."""


def context_of(header: str) -> TraceContext:
    """Read the header; without one, or with one that can't be read, a new trace begins."""
    found = FORM.fullmatch(header.strip()) if header else None
    if found is None or (found["version"] == "00" and found["more"]):
        return TraceContext(token_hex(16))
    return TraceContext(found["trace"], found["parent"], bool(int(found["flags"], 16) & SAMPLED))
