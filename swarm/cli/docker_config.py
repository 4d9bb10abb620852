"""Where Docker's client keeps credentials: config.json, and the helper programs that it names."""

import base64
import json
import os
from pathlib import Path
from typing import Any

from swarm.cli.credential_helpers import CredentialHelper, Login
from swarm.errors import FailedPrecondition, InvalidArgument

DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # what Docker's client calls it in the file


def server_key(registry: str) -> str:
    """Return the key of a registry (HOST[:PORT]) in the file and for helpers."""
    return DOCKER_HUB_KEY if registry == "docker.io" else registry


class DockerConfig:
    """The file as it is now. What this program does not know in it stays as it is."""

    def __init__(self, path: Path) -> None:
        """Read `path`, which need not exist; raises InvalidArgument when it makes no sense."""
        self.path = path
        try:
            found = json.loads(path.read_text() or "{}")
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError, RecursionError) as problem:
            raise InvalidArgument(f"cannot read {path}: {problem}") from None
        if not isinstance(found, dict):
            raise InvalidArgument(f"cannot read {path}: it is not a JSON object")
        self._document: dict[str, Any] = found

    def registries(self) -> list[str]:
        """Return the registries that somebody logged in to."""
        from swarm.runtime.images.registry_auth import registry_host

        return sorted(
            {registry_host(key) for key in (*self._section("auths"), *self._section("credHelpers"))}
        )

    def helper(self, registry: str) -> CredentialHelper | None:
        """Return the helper that keeps the credentials of `registry`, None when the file itself does."""
        helpers = self._section("credHelpers")
        name = helpers.get(server_key(registry)) or helpers.get(registry) or self._document.get("credsStore")
        return CredentialHelper(name) if isinstance(name, str) and name else None

    def find(self, registry: str) -> Login | None:
        """Return the credentials for `registry`, None when there are none; raises what helpers raise."""
        helper = self.helper(registry)
        if helper is not None and (found := helper.get(server_key(registry))) is not None:
            return found
        for key in self._keys(registry):
            if login := self._decode(registry, self._section("auths")[key]):
                return login
        return None

    def put(self, registry: str, login: Login) -> CredentialHelper | None:
        """Keep credentials in the registry's helper, which is returned, else in the file, in clear."""
        helper = self.helper(registry)
        # As Docker's client: an empty entry says that a helper has them.
        entry: dict[str, str] = {}
        if helper is not None:
            helper.store(server_key(registry), login)
        elif login.identity_token:
            entry = {"auth": _encode(login.username, ""), "identitytoken": login.identity_token}
        else:
            entry = {"auth": _encode(login.username, login.password)}
        for key in self._keys(registry):
            del self._document["auths"][key]
        self._document["auths"] = {**self._section("auths"), server_key(registry): entry}
        self._write()
        return helper

    def remove(self, registry: str) -> bool:
        """Forget the credentials of `registry`; tell whether there were any."""
        helper = self.helper(registry)
        known = helper is not None and helper.get(server_key(registry)) is not None
        if helper is not None and known:
            helper.erase(server_key(registry))
        keys = self._keys(registry)
        for key in keys:
            del self._document["auths"][key]
        if keys:
            self._write()
        return known or bool(keys)

    def _section(self, name: str) -> dict[str, Any]:
        section = self._document.get(name)
        return section if isinstance(section, dict) else {}

    def _keys(self, registry: str) -> list[str]:
        """Return the keys of a registry's entries, however they are spelt, the usual spelling first."""
        from swarm.runtime.images.registry_auth import registry_host

        keys = [key for key in self._section("auths") if registry_host(key) == registry_host(registry)]
        return sorted(keys, key=lambda key: key != server_key(registry))

    def _decode(self, registry: str, entry: object) -> Login | None:
        if not isinstance(entry, dict):
            return None
        username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
        if entry.get("auth"):
            try:
                pair = base64.b64decode(entry["auth"], validate=True).decode()
            except (ValueError, TypeError):
                raise InvalidArgument(
                    f"{self.path}: the entry for {registry} is not base64 of NAME:PASSWORD"
                ) from None
            username, _, password = pair.partition(":")
        login = Login(username, password.rstrip("\0"), str(entry.get("identitytoken") or ""))
        return login if login.username or login.identity_token else None

    def _write(self) -> None:
        """Replace the file at once, readable by its owner only."""
        path = self.path.resolve()  # a link stays a link
        temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(self._document, file, indent="\t")
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError as problem:
            temporary.unlink(missing_ok=True)
            raise FailedPrecondition(f"cannot write {path}: {problem.strerror}") from None


def _encode(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
