"""The process environment: telemetry off, libraries quiet, before anything heavy is imported."""

from __future__ import annotations

import logging
import os
import sys
import warnings

# Each name is read by the library at import, so these must be set first. DO_NOT_TRACK must read "true":
# MLflow ignores "1".
DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DATAFOG_NO_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # With 7, MLflow's own number, a server that died is waited for over four minutes at each request; with 4, half one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "GIT_PYTHON_REFRESH": "quiet",
}

NOISY_LOGGERS = (
    "alembic",
    "mlflow",
    "transformers",
    "datasets",
    "dvc",
    "urllib3",
    "matplotlib",
    "fsspec",
    "traitlets",
    "py.warnings",
)


def without_torch() -> None:
    """Let this process never import torch, which Transformers takes in for a tokenizer, too: 270 MB and some seconds.

    For the commands that only tokenise; Transformers then behaves as where torch isn't installed.
    """
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type] # how Python says that there is no such module


def prepare_environment() -> None:
    """Turn telemetry off and give libraries quiet defaults; what the user has set wins."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def quieten_libraries() -> None:
    """Keep warnings and info logs of libraries off the screen (the CLI calls this without ``--debug``)."""
    warnings.filterwarnings("ignore")
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow logs a traceback for each error of its database, beside the exception that it raises.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
