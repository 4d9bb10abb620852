"""The clusters that this user knows by name, and which of them commands talk to.

    $XDG_CONFIG_HOME/swarmctl/current-context
    $XDG_CONFIG_HOME/swarmctl/contexts/NAME.json     endpoint and, for managers, certificates and key

A context is one file, readable by its owner only and replaced as a whole; an export is a copy of it.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, NotFound

DEFAULT = "default"
DEFAULT_HOST = "unix:///run/swarm/swarmd.sock"
SCHEME = "context://"
SCHEMA = 1
FILE_BYTES_MAX = 1 << 20
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]{0,127}")


@dataclass(frozen=True, slots=True)
class Tls:
    """What managers are checked with, and what they check: PEM texts."""

    ca: str
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """A cluster by name. `error` says why a context that is there cannot be used."""

    name: str
    host: str
    description: str = ""
    tls: Tls | None = None
    error: str = ""


class ContextStore:
    """The contexts of this user."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which is made when the first context is."""
        self.root = root

    def path(self, name: str) -> Path:
        """Return the file of a context; raises InvalidArgument."""
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f'"{name}" cannot be the name of a context: letters, digits, _ . + - (128 at most),'
                " a letter or digit first"
            )
        return self.root / "contexts" / f"{name}.json"

    def names(self) -> list[str]:
        """Return the names of all contexts, the default one first."""
        from swarm.cli.natural_order import natural

        try:
            found = sorted((path.stem for path in (self.root / "contexts").glob("*.json")), key=natural)
        except OSError:
            found = []
        return [DEFAULT, *(name for name in found if _NAME.fullmatch(name) and name != DEFAULT)]

    def load(self, name: str, environ: Mapping[str, str]) -> Context:
        """Return a context; raises NotFound, and InvalidArgument when its file is damaged."""
        if name == DEFAULT:
            host = environ.get("SWARMCTL_HOST") or DEFAULT_HOST
            return Context(DEFAULT, host, "The node of this machine, or what SWARMCTL_HOST says")
        path = self.path(name)
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            known = ", ".join(self.names())
            raise NotFound(f'there is no context "{name}"; known: {known} (swarmctl context ls)') from None
        except (OSError, UnicodeDecodeError) as problem:
            raise InvalidArgument(f"cannot read context {name} ({path}): {problem}") from None
        try:
            return parse(text, name)
        except InvalidArgument as problem:
            raise InvalidArgument(
                f"context {name} is damaged ({path}): {problem}; remove it: swarmctl context rm -f {name}"
            ) from None

    def load_all(self, environ: Mapping[str, str]) -> list[Context]:
        """Return all contexts; those that cannot be read say so in `error`."""
        found = []
        for name in self.names():
            try:
                found.append(self.load(name, environ))
            except (InvalidArgument, NotFound) as problem:
                found.append(Context(name, "", error=str(problem)))
        return found

    def add(self, context: Context) -> None:
        """Keep a new context; raises NameConflict."""
        path = self.path(context.name)
        if context.name == DEFAULT or path.exists():
            raise NameConflict(
                f'there is a context "{context.name}" already: swarmctl context inspect {context.name}'
            )
        self.save(context)

    def save(self, context: Context) -> None:
        """Keep a context, in place of the one of that name; raises FailedPrecondition (disk full)."""
        write_private(self.path(context.name), to_text(context))

    def remove(self, name: str) -> None:
        """Forget a context, whatever its file looks like; raises NotFound."""
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            raise NotFound(f'there is no context "{name}" (swarmctl context ls)') from None
        except OSError as problem:
            raise FailedPrecondition(f"cannot remove context {name}: {problem.strerror}") from None

    @property
    def current(self) -> str:
        """The name that `use` chose."""
        try:
            return (self.root / "current-context").read_text("utf-8").strip() or DEFAULT
        except (OSError, UnicodeDecodeError):
            return DEFAULT

    def use(self, name: str) -> None:
        """Make a context the one that commands talk to when nothing else is said."""
        write_private(self.root / "current-context", name + "\n")


def default_root(environ: Mapping[str, str]) -> Path:
    """Return where this user's contexts are."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if folder.startswith("/") else Path.home() / ".config") / "swarmctl"


def choose(context: str | None, host: str | None, environ: Mapping[str, str], store: ContextStore) -> str:
    """Return what commands talk to: a host, or `context://NAME` for `connect` to look up.

    `--context`, `--host`, SWARMCTL_HOST, SWARMCTL_CONTEXT, the context in use, the socket of this machine.
    """
    if context and host:
        raise InvalidArgument("--context and --host both say where to go: give one of them")
    if context:
        return _by_name(context, environ)
    if host or environ.get("SWARMCTL_HOST"):
        return host or environ["SWARMCTL_HOST"]
    return _by_name(environ.get("SWARMCTL_CONTEXT") or store.current, environ)


def _by_name(name: str, environ: Mapping[str, str]) -> str:
    return (environ.get("SWARMCTL_HOST") or DEFAULT_HOST) if name == DEFAULT else SCHEME + name


def chosen_name(chosen: str) -> str:
    """Return the name of the context that commands talk to, given what `choose` said."""
    return chosen.removeprefix(SCHEME) if chosen.startswith(SCHEME) else DEFAULT


def to_text(context: Context) -> str:
    """Return the file of a context, key included."""
    data = asdict(context)
    del data["error"]
    return json.dumps({"schema": SCHEMA, **data}, indent=2) + "\n"


def parse(text: str, name: str) -> Context:
    """Return the context in a file, under a name of the reader's choice; raises InvalidArgument."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise InvalidArgument("it was written by another version of swarmctl")
        tls = data.get("tls")
        texts = [data["host"], data.get("description", ""), *(tls.values() if tls else ())]
        if not all(isinstance(one, str) for one in texts):
            raise InvalidArgument("it is not a context")
        return Context(name, data["host"], data.get("description", ""), Tls(**tls) if tls else None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise InvalidArgument("it is not a context that swarmctl context export wrote") from problem


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only; raises FailedPrecondition."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise FailedPrecondition(f"cannot write {path}: {problem.strerror}") from None
