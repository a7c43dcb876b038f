"""Fetching a base model from the Hugging Face hub: only the files we use, and one clear line when it fails."""

from __future__ import annotations

from pathlib import Path

from tunewright.support.errors import InputError, TunewrightError

WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "chat_template.*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "README.md",
)
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
CODE = ("*.py",)
TIMEOUT_S = 5.0


def download(
    hub_id: str, revision: str | None, *, remote_code: bool, weights: bool = True
) -> tuple[Path, str]:
    """Bring a model's files into the local hub cache; what is there already isn't fetched again.

    Args:
        hub_id: ``name`` or ``organisation/name``.
        revision: Branch, tag or commit; ``None`` takes the main branch.
        remote_code: Fetch Python files too.
        weights: Fetch the weights; without them the tokenizer and the configuration are there.

    Returns:
        The folder, and the commit that it holds.

    Raises:
        InputError: When the id, the revision or the permission is wrong.
        TunewrightError: When the hub is out of reach and the cache lacks the model, or the disk is full.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = [*FILES, *(WEIGHTS if weights else ()), *(CODE if remote_code else ())]
    try:
        commit, pickled = _look_up(hub_id, revision)
        folder = snapshot_download(
            hub_id,
            revision=commit or revision,
            local_files_only=commit is None,
            allow_patterns=[*patterns, *(PICKLED if pickled and weights else ())],
            etag_timeout=TIMEOUT_S,
        )
    except HFValidationError as error:
        raise InputError(
            "is neither a catalogue name, a folder nor a hub id", place=hub_id, mend="check model.name"
        ) from error
    except LocalEntryNotFoundError as error:
        raise TunewrightError(
            "the model hub is out of reach and the model isn't in its local cache",
            place=hub_id,
            mend="check the network, HF_HUB_OFFLINE and HF_ENDPOINT",
        ) from error
    except OSError as error:
        raise TunewrightError(
            f"the download failed ({str(error).splitlines()[0]})", place=hub_id, mend="check disk and network"
        ) from error
    return Path(folder), Path(folder).name


def _look_up(hub_id: str, revision: str | None) -> tuple[str | None, bool]:
    """Ask the hub once, with a short time limit (a download to a silent host retries for minutes).

    Returns:
        The commit (``None`` when the hub doesn't answer), and whether only pickled weights exist.

    Raises:
        InputError: When the hub answers that there is no such model or revision, or that access is denied.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    transport_error = _transport_error()
    try:
        info = HfApi().model_info(hub_id, revision=revision, timeout=TIMEOUT_S)
    except GatedRepoError as error:
        mend = "accept its terms on its hub page and set HF_TOKEN"
        raise InputError("access to this model must be asked for", place=hub_id, mend=mend) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"has no revision '{revision}'", place=hub_id, mend="check model.revision"
        ) from error
    except RepositoryNotFoundError as error:
        mend = "check model.name; a private one needs HF_TOKEN"
        raise InputError("no such model on the hub", place=hub_id, mend=mend) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, transport_error):
        return None, True
    names = [each.rfilename for each in info.siblings or []]
    return info.sha, not any(name.startswith("model") and ".safetensors" in name for name in names)


def _transport_error() -> type[Exception]:
    """Return the base class of the hub client's network errors, whichever HTTP library it uses."""
    from huggingface_hub import get_session

    module = __import__(type(get_session()).__module__.split(".")[0])
    error: type[Exception] = module.TransportError
    return error
