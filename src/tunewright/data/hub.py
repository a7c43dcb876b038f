"""Data sets of the Hugging Face hub, streamed through ``datasets``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.data.streams import first_line
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.data import DataConfig
    from tunewright.data.rows import Rows

CONNECTION_ERRORS = ("Connect", "Timeout", "Offline", "MaxRetry", "NameResolution", "LocalEntryNotFound")


def open_hub(config: DataConfig) -> Any:  # noqa: ANN401
    """Open a split of a hub data set as a stream, at the commit that its revision stands for now.

    The commit is asked for first also because that answers at once when the hub is out of reach, where
    ``load_dataset`` tries for half a minute.

    Raises:
        InputError: When the hub is out of reach, or has no such data set, configuration, split or revision.
    """
    revision = hub_revision(config)
    import datasets

    try:
        return datasets.load_dataset(
            config.source,
            config.hub_config,
            split=config.hub_split,
            revision=revision,
            streaming=True,
        )
    except Exception as error:
        raise hub_fault(error, config) from error


def hub_columns(stream: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the columns of a stream; where the hub doesn't say, its first row does."""
    return tuple(stream.column_names or next(iter(stream)))


def hub_rows(stream: Any, columns: tuple[str, ...], config: DataConfig) -> Rows:  # noqa: ANN401
    """Stream rows; class numbers become the class names that the data set declares.

    Raises:
        InputError: When the connection breaks.
    """
    names = {
        name: feature.names for name, feature in (stream.features or {}).items() if hasattr(feature, "names")
    }
    try:
        for row in stream:
            yield tuple(_named(row.get(name), names.get(name)) for name in columns)
    except Exception as error:
        raise hub_fault(error, config) from error


def hub_revision(config: DataConfig) -> str:
    """Return the commit that a revision of a hub data set stands for.

    Raises:
        InputError: When the hub is out of reach or has no such data set.
    """
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(str(config.source), revision=config.revision, timeout=20).sha)
    except Exception as error:
        raise hub_fault(error, config) from error


def hub_fault(error: BaseException, config: DataConfig) -> InputError:
    """Say in one line why a hub data set can't be read."""
    chain: list[str] = []
    link: BaseException | None = error
    while link is not None and len(chain) < 10:  # noqa: PLR2004
        chain.append(type(link).__name__)
        link = link.__cause__ or link.__context__
    place = str(config.source)
    if any(word in name for name in chain for word in CONNECTION_ERRORS):
        return InputError(
            "is no local file or folder, and the Hugging Face hub can't be reached to look for it there",
            place=place,
            mend="check the path, or the network and HF_HUB_OFFLINE",
        )
    return InputError(
        f"can't be read from the Hugging Face hub ({first_line(error)})",
        place=place,
        mend="check the id, data.hub_config, data.hub_split and data.revision; a private one needs HF_TOKEN",
    )


def _named(value: object, names: list[str] | None) -> object:
    """Return the class name of a class number; -1 stands for no label."""
    if names is None or not isinstance(value, int) or isinstance(value, bool):
        return value
    return names[value] if 0 <= value < len(names) else None
