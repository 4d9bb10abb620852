"""Programs that keep passwords for Docker's client: `docker-credential-NAME` get, store, erase."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field

from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOT_FOUND = "credentials not found"
_TOKEN_USER = "<token>"  # noqa: S105 -- how helpers say that the secret is an identity token
# A helper may ask the person at the keyboard to unlock a keyring.
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Login:
    """What one proves to a registry who one is with: a name and a password, or an identity token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class CredentialHelper:
    """One helper program; every call runs it once."""

    def __init__(self, name: str) -> None:
        """`name` as in Docker's config.json: the program is docker-credential-NAME."""
        if not _NAME.fullmatch(name):
            shown = "".join(one if one.isprintable() else "?" for one in name[:100])
            raise InvalidArgument(f'"{shown}" is not the name of a credential helper')
        self.program = f"docker-credential-{name}"

    def get(self, server: str) -> Login | None:
        """Return what the helper keeps for `server`, None when that is nothing."""
        answer = self._run("get", server, nothing_is_fine=True)
        if answer is None:
            return None
        try:
            found = json.loads(answer)
            username, secret = str(found.get("Username") or ""), str(found.get("Secret") or "")
        except (ValueError, AttributeError, RecursionError):
            raise Unavailable(f"{self.program} did not answer with JSON") from None
        if username == _TOKEN_USER:
            return Login(identity_token=secret)
        return Login(username, secret) if username or secret else None

    def store(self, server: str, login: Login) -> None:
        """Let the helper keep `login` for `server`."""
        secret = login.identity_token or login.password
        username = _TOKEN_USER if login.identity_token else login.username
        self._run("store", json.dumps({"ServerURL": server, "Username": username, "Secret": secret}))

    def erase(self, server: str) -> None:
        """Let the helper forget `server`; what it does not know is forgotten already."""
        self._run("erase", server, nothing_is_fine=True)

    def _run(self, action: str, text: str, *, nothing_is_fine: bool = False) -> str | None:
        if shutil.which(self.program) is None:
            raise FailedPrecondition(
                f"Docker's config.json names the credential helper {self.program}, which is not installed; "
                "install it, or take credsStore or credHelpers out of the file"
            )
        try:
            done = subprocess.run(
                [self.program, action],
                input=text,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            # Not the exception itself: it repeats what was given to the program.
            raise Unavailable(f"{self.program} {action} failed ({type(problem).__name__})") from None
        if done.returncode == 0:
            return done.stdout
        # Helpers write their errors to standard output.
        said = (done.stdout.strip() or done.stderr.strip())[:200]
        if nothing_is_fine and _NOT_FOUND in said.lower():
            return None
        raise Unavailable(f"{self.program} {action} failed: {said or f'exit code {done.returncode}'}")
