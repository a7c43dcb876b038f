"""MLflow's webhook: is a message signed with our secret, as MLflow 3.17 signs it (``mlflow.webhooks.delivery``)?"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

SECRET = "TUNEWRIGHT_WEBHOOK_SECRET"  # noqa: S105 -- the variable's name
SIGNATURE, DELIVERY, TIMESTAMP = "x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp"
VERSION = "v1"
FRESH_S = 300
"""An older message is one that was recorded and sent again; the Standard Webhooks' tolerance."""


def is_genuine(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Tell whether a message comes from who knows the secret, and is fresh.

    Args:
        headers: By lower-case name.
        body: As it came.
        secret: Shared with MLflow.
        now: Seconds since 1970.
    """
    stamp = headers.get(TIMESTAMP, "")
    if not (secret and stamp.isdecimal() and abs(now - int(stamp)) <= FRESH_S):
        return False
    signed = f"{headers.get(DELIVERY, '')}.{stamp}.".encode("utf-8", "surrogatepass") + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    expected = f"{VERSION},{base64.b64encode(digest).decode()}".encode()
    return hmac.compare_digest(headers.get(SIGNATURE, "").encode("utf-8", "surrogatepass"), expected)
