"""HTTPS: the files are looked at before anything starts, so that what is wrong with them is one clear line."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.serving import ServingConfig


def tls_options(settings: ServingConfig) -> dict[str, Any]:
    """Return what uvicorn is told about TLS; nothing where plain HTTP is spoken.

    Raises:
        InputError: When a file is missing, can't be used, or the two don't belong together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        given, missing = ("--tls-key", "--tls-certificate") if key else ("--tls-certificate", "--tls-key")
        raise InputError("needs the other file, too", place=given, mend=f"add {missing}")
    for option, path in (("--tls-certificate", certificate), ("--tls-key", key)):
        if not Path(path).is_file():
            raise InputError("is no file", place=f"{option} {path}")
    _try(certificate, key)
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


def _try(certificate: str, key: str) -> None:
    """Load both, as the server will."""
    try:
        # An empty password: a key that needs one is refused, where OpenSSL would ask on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"can't be used ({str(reason).lower().replace('_', ' ')})",
            place=f"--tls-certificate {certificate}, --tls-key {key}",
            mend="give a PEM certificate and its own key, without a password",
        ) from None
