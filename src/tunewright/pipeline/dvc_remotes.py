"""DVC's remotes: where a project's data is kept besides this disk, and what is sent there and fetched from there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.pipeline.dvc import opened, translated
from tunewright.support.errors import InputError, MissingExtraError, TunewrightError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

SECRET = re.compile(
    r"password|secret|token|account_key|sas|connection_string|access_key|credential", re.IGNORECASE
)
FILES_OF_CREDENTIALS = ("credentialpath", "configpath")
"""Options that match ``SECRET`` and only say where credentials lie."""
CREDENTIALS = re.compile(r"://[^/@\s]*@")
EXTRAS = {"s3": "s3", "gs": "gs", "azure": "azure"}
"""Schemes whose DVC plugin comes with an extra."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One place for data besides this disk."""

    name: str
    url: str
    is_default: bool


def remotes(root: Path) -> tuple[Remote, ...]:
    """List a project's remotes."""
    with opened(root) as repo:
        default = repo.config["core"].get("remote")
        return tuple(
            Remote(name, str(settings["url"]), name == default)
            for name, settings in sorted(repo.config["remote"].items())
        )


def default_remote(root: Path) -> str | None:
    """Return the name of the remote that data goes to; ``None`` when the project has none.

    The settings alone are read: opening the repository for them would cost 70 ms, after each step that gives data.
    """
    from dvc.config import Config

    name: str | None = Config(dvc_dir=str(root / ".dvc"))["core"].get("remote")
    return name


def add_remote(root: Path, name: str, url: str, options: Mapping[str, str], *, replace: bool = False) -> None:
    """Make a place the one that data goes to; this is what ``dvc remote add --default`` does.

    Args:
        root: The project.
        name: What it is called.
        url: A folder, ``s3://``, ``gs://``, ``azure://`` or whatever else DVC knows.
        options: Its settings in DVC, such as ``endpointurl``; no secret may be among them.
        replace: Take the place of a remote of the same name.

    Raises:
        InputError: When the name is taken, the address or an option holds a secret, or DVC doesn't know it.
        MissingExtraError: When DVC's plugin for the address isn't installed.
    """
    from dvc.config import ConfigError

    _refuse_secrets(name, url, options)
    _require_plugin(url)
    with opened(root) as repo:
        if name in repo.config["remote"] and not replace:
            raise InputError(
                "is a remote already", place=f"'{name}'", mend="choose another name, or give --force"
            )
        if "://" not in url and not Path(url).is_absolute():
            url = str(Path.cwd() / url)
        try:
            with repo.config.edit("repo") as config:
                config["remote"][name] = {"url": url, **options}
                config["core"]["remote"] = name
        except ConfigError as error:
            raise InputError(f"DVC refuses it ({_line(error)})", place=f"remote '{name}'") from error


def push(root: Path, targets: Sequence[str] = (), *, all_versions: bool = False) -> int:
    """Send data that the default remote lacks.

    Args:
        root: The project.
        targets: Paths below it; all data by default.
        all_versions: Also send what older commits point to.

    Returns:
        Files sent.

    Raises:
        TunewrightError: When the remote can't be reached, or refuses.
    """
    with _at_present_remotes(root) as repo, _explained(repo):
        sent: int = repo.push(targets=_absolute(root, targets), all_commits=all_versions)
        return sent


def fetch(root: Path, targets: Sequence[str] = (), *, revision: str | None = None) -> int:
    """Bring data from the default remote into the cache.

    Args:
        root: The project.
        targets: Paths below it; all data by default.
        revision: A commit whose data is meant; the data that lies in the project by default.

    Returns:
        Files fetched.

    Raises:
        TunewrightError: When the remote can't be reached, or lacks some.
    """
    with _at_present_remotes(root) as repo, _explained(repo):
        revisions = [revision] if revision else None
        named = _in_git(repo, targets) if revision else _absolute(root, targets)
        fetched: int = repo.fetch(targets=named, revs=revisions, workspace=not revision)
        return fetched


def checkout(root: Path, targets: Sequence[str] = (), *, force: bool = False) -> None:
    """Put data from the cache in its place, as ``dvc.lock`` says.

    Raises:
        InputError: When it would replace data that no version holds and ``force`` is not given.
        TunewrightError: When the cache lacks some.
    """
    from dvc.exceptions import CheckoutError, DvcException

    with opened(root) as repo, translated(str(root)):
        try:
            repo.checkout(targets=_absolute(root, targets), force=force)
        except CheckoutError as error:
            names = ", ".join(error.target_infos)
            raise TunewrightError(
                f"the cache lacks {names}", place=str(root), mend="`tunewright data pull`"
            ) from error
        except DvcException as error:
            if "unsaved files" not in str(error):
                raise
            first = str(error).splitlines()[1]
            raise InputError(
                "would be lost: no version holds it", place=first, mend="give --force to let it go"
            ) from error


def missing_there(root: Path, targets: Sequence[str] = ()) -> int:
    """Count the files of the present version that the default remote lacks.

    Raises:
        TunewrightError: When the remote can't be reached.
    """
    with opened(root) as repo, _explained(repo):
        return len(repo.status(targets=_absolute(root, targets), cloud=True))


def files_of(root: Path, digest: str) -> dict[str, Path] | None:
    """Find where the cache keeps a file, or each file of a folder.

    Args:
        root: The project.
        digest: DVC's hash of it; a folder's ends with ``.dir``.

    Returns:
        By path within the folder (empty for a single file), where its bytes lie; ``None`` when some are not there.
    """
    return files_of_each(root, (digest,))[digest]


def files_of_each(root: Path, digests: Iterable[str]) -> dict[str, dict[str, Path] | None]:
    """Answer ``files_of`` for many digests at once: opening the repository takes longest."""
    with opened(root) as repo:
        store = repo.cache.local
        return {digest: _files_in(store, digest) for digest in digests}


def _files_in(store: HashFileDB, digest: str) -> dict[str, Path] | None:
    """Find the bytes of a file or a folder in a cache."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if not store.exists(digest):
        return None
    if not digest.endswith(".dir"):
        return {"": Path(store.oid_to_path(digest))}
    tree = Tree.load(store, HashInfo("md5", digest))
    hashes = {"/".join(key): info.value for key, (_, info) in tree.iteritems()}  # type: ignore[no-untyped-call]
    if not all(store.exists(value) for value in hashes.values()):
        return None
    return {name: Path(store.oid_to_path(value)) for name, value in hashes.items()}


@contextmanager
def _at_present_remotes(root: Path) -> Iterator[Repo]:
    """Open the repository so that the data of older commits, too, goes to and comes from the remotes of today.

    DVC reads the addresses in each commit that it looks at, and older ones know nothing of a remote that came later.
    """
    with opened(root) as repo:
        known = {name: dict(settings) for name, settings in repo.config["remote"].items()}
        default = repo.config["core"].get("remote")
    with opened(root, {"core": {"remote": default} if default else {}, "remote": known}) as repo:
        yield repo


@contextmanager
def _explained(repo: Repo) -> Iterator[None]:
    """Turn what a remote's library raises into one line."""
    from dvc.config import NoRemoteError
    from dvc.exceptions import DvcException

    name = repo.config["core"].get("remote") or "remote"
    try:
        yield
    except NoRemoteError as error:
        raise InputError(
            "has no remote", place=repo.root_dir, mend="`tunewright data remote add NAME URL`"
        ) from error
    except DvcException as error:
        raise TunewrightError(f"DVC says: {_line(error)}", place=f"remote '{name}'") from error
    except Exception as error:
        # Each kind of store has errors of its own (botocore's, google's, azure's …), and none shares a base class.
        raise TunewrightError(
            f"can't be reached ({type(error).__name__}: {_line(error)})", place=f"remote '{name}'"
        ) from error


def _absolute(root: Path, targets: Sequence[str]) -> list[str] | None:
    """Name targets so that they mean the same from every working directory."""
    return [str(root / target) for target in targets] or None


def _in_git(repo: Repo, targets: Sequence[str]) -> list[str] | None:
    """Name targets as DVC does in a commit, where the root of the git repository is the root of all files."""
    inside = Path(repo.root_dir).relative_to(repo.scm.root_dir)
    return [f"/{(inside / target).as_posix()}" for target in targets] or None


def _refuse_secrets(name: str, url: str, options: Mapping[str, str]) -> None:
    place = f"remote '{name}'"
    mend = "keep secrets in the environment, as the store's own library reads them"
    if CREDENTIALS.search(url):
        raise InputError("the address holds credentials, which would be committed", place=place, mend=mend)
    if secret := [key for key in options if SECRET.search(key) and key not in FILES_OF_CREDENTIALS]:
        raise InputError(f"{secret[0]} is a secret, which would be committed", place=place, mend=mend)


def _require_plugin(url: str) -> None:
    import importlib.util

    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in EXTRAS and importlib.util.find_spec(f"dvc_{EXTRAS[scheme]}") is None:
        raise MissingExtraError(f"a {scheme}:// remote", "cloud")


def _line(error: BaseException) -> str:
    from tunewright.registry.tracking import without_credentials

    return without_credentials((str(error).strip().splitlines() or [type(error).__name__])[0])
