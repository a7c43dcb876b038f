"""tunewright: from raw text to a fine-tuned transformer that is compared, certified and promoted."""

from __future__ import annotations

from tunewright.support.environment import prepare_environment

prepare_environment()
__version__ = "0.1.0"
