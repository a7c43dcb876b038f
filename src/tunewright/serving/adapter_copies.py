"""The copies of a registered adapter and of its base, for a worker that several adapters share.

This runs in the process of an opening (``opening.py``): MLflow and torch are imported here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.copies import read_manifest
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking


def adapter_copies(
    tracking: Tracking, version: Version, cache: Path, *, base: Path | None
) -> tuple[Path, Path]:
    """Find or make them.

    Args:
        tracking: Where it is registered.
        version: The version.
        cache: Folder of all copies.
        base: The copy of the base that the worker has; None where there is no worker yet.

    Returns:
        The folders of the adapter's copy and of the base's.

    Raises:
        InputError: When the version can't share its base, or stands on another one.
        TunewrightError: When its weights are not those that were logged, or its files are gone.
    """
    from tunewright.engines.adapters import APART, SavedAdapter, why_apart
    from tunewright.registry.language_models import is_language_model, language_files
    from tunewright.registry.models import require_certified

    place = version.reference
    if not is_language_model(tracking, place):
        raise InputError("is a classifier, which can't share its base", place=place, mend=APART)
    files = language_files(tracking, place)
    if why := why_apart(files.folder):
        raise InputError(why, place=place, mend=APART)
    saved = SavedAdapter(files.folder, files.base_folder)
    require_certified(saved.digest(), files.tags, files.folder)
    if base and (open_digest := read_manifest(base).model_digest) != saved.base_digest:
        digests = f"{saved.base_digest[:12]}, the first one stands on {open_digest[:12]}"
        raise InputError(f"stands on another base ({saved.base_name}: {digests})", place=place, mend=APART)
    with tempfile.TemporaryDirectory() as name:
        base = base or saved.copy_base(cache, Path(name) / "base")
    return saved.copy(cache, base), base
