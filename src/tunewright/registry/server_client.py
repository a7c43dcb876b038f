"""The few HTTP calls that the tracking server's care needs, without importing MLflow.

They follow MLflow 3.17's basic-auth API (``/api/2.0/mlflow/users/*``, ``/api/3.0/mlflow/users/permissions/*``).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    import requests

TIMEOUT_SECONDS = 20.0
"""A password check costs the server about 0.2 s of CPU; this leaves room for a busy one."""

UNAUTHORIZED = 401
NOT_FOUND = 404
CLIENT_ERROR = 400


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password; the password never shows in a representation."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Hide the password."""
        return f"Credentials(username={self.username!r}, password='***')"


@dataclass(frozen=True, slots=True)
class ServerClient:
    """A tracking server at ``uri`` (http or https)."""

    uri: str

    def __post_init__(self) -> None:
        """Refuse what is not a web address.

        Raises:
            InputError: When the URI isn't http or https, or holds a password.
        """
        parts = urlsplit(self.uri)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(
                "no tracking server is set",
                place="MLFLOW_TRACKING_URI",
                mend="run `tunewright server up`, or name a server (https://…) in .env",
            )
        if parts.password:
            raise InputError(
                "the address must not hold a password",
                place="MLFLOW_TRACKING_URI",
                mend="put it in MLFLOW_TRACKING_PASSWORD",
            )

    @property
    def is_local(self) -> bool:
        """Tell whether the server listens on this machine's loopback."""
        return is_loopback(urlsplit(self.uri).hostname or "")

    def healthy(self, *, timeout_s: float = 2.0) -> bool:
        """Tell whether ``/health`` answers 200."""
        import requests

        try:
            answer = self._send("GET", "/health", None, timeout_s=timeout_s)
        except requests.RequestException:
            return False
        return bool(answer.ok)

    def accepts(self, credentials: Credentials) -> bool:
        """Tell whether the server lets a user in.

        Raises:
            TunewrightError: When the server can't be reached, or answers neither yes nor no.
        """
        answer = self._call("GET", "/api/2.0/mlflow/users/current", credentials)
        if answer.status_code not in {200, UNAUTHORIZED}:
            raise self._refusal(answer)
        return bool(answer.ok)

    def lacks_model(self, model_id: str, credentials: Credentials | None) -> bool:
        """Tell whether the server knows no such logged model; False also when it doesn't answer the question."""
        import requests

        path = f"/api/2.0/mlflow/logged-models/{model_id}"
        try:
            answer = self._send("GET", path, credentials, timeout_s=TIMEOUT_SECONDS)
        except requests.RequestException:
            return False
        return answer.status_code == NOT_FOUND and "application/json" in answer.headers.get(
            "Content-Type", ""
        )

    def change_password(self, credentials: Credentials, new: str) -> None:
        """Give a user a new password; every cached check of the old one is dropped by the worker that answers.

        Raises:
            TunewrightError: When the server refuses.
        """
        body = {
            "username": credentials.username,
            "password": new,
            "current_password": credentials.password,
        }
        self._expect("PATCH", "/api/2.0/mlflow/users/update-password", credentials, body)

    def create_user(self, admin: Credentials, user: Credentials) -> None:
        """Make a user.

        Raises:
            TunewrightError: When the server refuses: the user exists, or ``admin`` isn't an administrator.
        """
        body = {"username": user.username, "password": user.password}
        self._expect("POST", "/api/2.0/mlflow/users/create", admin, body)

    def grant(self, admin: Credentials, username: str, resource_type: str, permission: str) -> None:
        """Grant one permission on every resource of a type, in place of a former one.

        Raises:
            TunewrightError: When the server refuses.
        """
        path = "/api/3.0/mlflow/users/permissions/"
        resource = {"username": username, "resource_type": resource_type, "resource_id": "*"}
        self._call("POST", path + "revoke", admin, resource)  # MLflow refuses to change one; 404 without
        self._expect("POST", path + "grant", admin, {**resource, "permission": permission})

    def _expect(self, method: str, path: str, credentials: Credentials, body: Mapping[str, str]) -> None:
        answer = self._call(method, path, credentials, body)
        if answer.status_code >= CLIENT_ERROR:
            raise self._refusal(answer)

    def _call(
        self, method: str, path: str, credentials: Credentials, body: Mapping[str, str] | None = None
    ) -> requests.Response:
        import requests

        try:
            return self._send(method, path, credentials, body=body, timeout_s=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise TunewrightError(
                f"the tracking server can't be reached ({type(error).__name__})",
                place=self.uri,
                mend="check the address, or run `tunewright server up`",
            ) from None  # the library's message may quote the request

    def _send(
        self,
        method: str,
        path: str,
        credentials: Credentials | None,
        *,
        timeout_s: float,
        body: Mapping[str, str] | None = None,
    ) -> requests.Response:
        import requests

        with requests.Session() as session:
            session.trust_env = not self.is_local  # a proxy of the network doesn't know this loopback
            if certificate := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
                session.verify = certificate
            return session.request(
                method,
                self.uri.rstrip("/") + path,
                auth=(credentials.username, credentials.password) if credentials else None,
                json=body,
                timeout=timeout_s,
                allow_redirects=False,  # a redirect would carry the password elsewhere
            )

    def _refusal(self, answer: requests.Response) -> TunewrightError:
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = answer.reason or "no reason given"
        return TunewrightError(
            f"the tracking server refused ({answer.status_code}: {message.splitlines()[0]})", place=self.uri
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
