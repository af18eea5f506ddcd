"""Who we are to a registry: docker's and podman's credential files and credential helpers, read as they read them.

Only this module knows where they are. What it reads is shown nowhere: not in errors, not in a ``repr``.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pg_ephemeral.errors import ProcessError, RegistryError
from pg_ephemeral.oci.endpoint import credential_keys, helper_key, registry_of
from pg_ephemeral.oci.reference import Name
from pg_ephemeral.oci.state import State
from pg_ephemeral.process import Invocation, capture

__all__ = ["Credential", "Keychain", "Owner", "anonymous", "keychain"]

_HELPER_LIMIT = 30.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_HAS_NONE = ("credentials not found", "no credentials", "could not be found in the keychain")

#: What stands in the place of the user when the secret is an identity token.
_IS_TOKEN = "<token>"  # noqa: S105 -- a marker


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user and a password, or an identity token, with which a token server gives out tokens."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


#: Finds the credential for a repository; None when there is none, and we are nobody in particular.
Keychain = Callable[[Name], Credential | None]


class Owner(Enum):
    """Whose credentials are used: an engine's own, or any that there are."""

    DOCKER = "docker"
    PODMAN = "podman"
    ANY = "any"


def anonymous(_repository: Name) -> Credential | None:
    """Have no credentials."""
    return None


def keychain(owner: Owner = Owner.ANY, environment: Mapping[str, str] | None = None) -> Keychain:
    """Look credentials up as ``owner`` does, in this environment (None: ours), each time one is asked for.

    Raises ``RegistryError`` for a file that cannot be read, and for a helper that fails: to go on as nobody would only
    make a worse error of it.
    """
    variables = os.environ if environment is None else environment

    def find(repository: Name) -> Credential | None:
        for path in _files(owner, variables):
            found = _in_file(path, repository, variables)
            if found is not None:
                return found
        return None

    return find


def _files(owner: Owner, variables: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to look into, in order. Podman ends with docker's; a file that is named outright stands alone."""
    home = Path(variables["HOME"]) if variables.get("HOME") else Path.home()
    docker = Path(variables.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if owner is Owner.DOCKER:
        return (docker,)
    if variables.get("REGISTRY_AUTH_FILE"):
        return (Path(variables["REGISTRY_AUTH_FILE"]), *((docker,) if owner is Owner.ANY else ()))
    runtime = Path(variables.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}")
    if variables.get("XDG_RUNTIME_DIR"):
        runtime /= "containers"
    configuration = Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "containers"
    return (runtime / "auth.json", configuration / "auth.json", docker)


def _in_file(path: Path, repository: Name, variables: Mapping[str, str]) -> Credential | None:
    """Look into one file: the helper of this registry, the inline entries, the helper for all."""
    settings = _read(path)
    registry = registry_of(repository)
    keys = credential_keys(repository)
    helpers = _members(settings, "credHelpers")
    for key in keys:
        if helper := helpers.get(key):
            return _ask(str(helper), helper_key(registry), path, variables)
    if (store := settings.get("credsStore")) and (found := _ask(str(store), helper_key(registry), path, variables)):
        return found
    entries = {_plain_key(key): entry for key, entry in _members(settings, "auths").items()}
    for key in keys:
        if (found := _inline(entries.get(key), path, key)) is not None:
            return found
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _unusable(path, reason or "unreadable") from error
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        # Without its cause, which quotes the file.
        raise _unusable(path, "not JSON") from None
    if not isinstance(value, dict):
        raise _unusable(path, "not an object")
    return value


def _members(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def _plain_key(key: str) -> str:
    """A key without the scheme and API version that older logins wrote; podman's paths are kept."""
    without_scheme = re.sub(r"^https?://", "", key)
    if without_scheme != key:
        return without_scheme.split("/", 1)[0]
    return re.sub(r"/v[12]/?$", "", key).rstrip("/")


def _inline(entry: Any, path: Path, key: str) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"]), validate=False).decode().strip("\0")
        except ValueError:
            raise _unusable(path, f"the entry of {key} is not base64") from None
        username, _, password = decoded.partition(":")
    token = str(entry.get("identitytoken") or "")
    if not token and not (username and password):
        return None
    return Credential(username=username, password=password, identity_token=token)


def _ask(helper: str, key: str, path: Path, variables: Mapping[str, str]) -> Credential | None:
    """Ask a credential helper, by the protocol of docker-credential-helpers: ``get``, the key on stdin, JSON back."""
    program = f"docker-credential-{helper}"
    if not _HELPER_NAME.fullmatch(helper):
        raise _unusable(path, f"{helper!r} is no credential helper's name")
    try:
        done = capture(
            Invocation(argv=(program, "get"), env=dict(variables)), stdin=key.encode(), timeout=_HELPER_LIMIT
        )
    except ProcessError as error:
        raise _failed(f"{path}: {error.message}", error.hint) from error
    if done.status != 0:
        words = f"{done.stdout.decode(errors='replace')} {done.message}".lower()
        if any(text in words for text in _HELPER_HAS_NONE):
            return None
        raise _failed(f"{path}: {program} failed for {key} with status {done.status}", None)
    return _answer(done.stdout, program, path)


def _answer(output: bytes, program: str, path: Path) -> Credential | None:
    try:
        answer = json.loads(output)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _failed(f"{path}: {program} gave an answer that cannot be read", None) from None
    if not secret:
        return None
    if username == _IS_TOKEN:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret)


def _unusable(path: Path, reason: str) -> RegistryError:
    return _failed(f"cannot read credentials from {path}: {reason}", "docker login or podman login writes it anew")


def _failed(message: str, hint: str | None) -> RegistryError:
    return RegistryError(message, state=State.NOT_LOGGED_IN, hint=hint)
