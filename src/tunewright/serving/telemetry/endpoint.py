"""Whether traces are to be sent, and where to; nothing of OpenTelemetry is imported for it."""

from __future__ import annotations

import os

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables that OpenTelemetry gives for it; the exporter reads them, and those beside them, itself."""
DISABLED = "OTEL_SDK_DISABLED"


def is_asked_for(endpoint: str | None) -> bool:
    """Tell whether traces are to be sent: by the setting, or by OpenTelemetry's environment variables."""
    if os.environ.get(DISABLED, "").strip().lower() == "true":
        return False
    return bool(endpoint or any(os.environ.get(name) for name in ENDPOINTS))
