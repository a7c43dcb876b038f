"""OpenVINO's tools without their telemetry."""

from __future__ import annotations

import sys
from typing import Any


def without_telemetry() -> None:
    """Hide ``openvino_telemetry`` from this process: converter and NNCF then send nothing.

    Both take a stub where the package can't be imported. They have no setting of their own, and send by default.
    """
    modules: dict[str, Any] = sys.modules
    modules["openvino_telemetry"] = None
