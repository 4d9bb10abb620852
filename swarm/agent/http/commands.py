"""Which commands bring the tasks of a running proxy to what they should be? Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swarm.agent.http.config import CHALLENGES, server_line
from swarm.agent.http.plan import Wanted

_FORCED_MAINTENANCE = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """A task as a running proxy has it."""

    address: str
    port: int
    serving: bool


Key = tuple[str, str]  # backend and task


def standings(text: str) -> dict[Key, Standing]:
    """Read what `show servers state` printed."""
    found: dict[Key, Standing] = {}
    columns: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("# "):
            columns = words[1:]
        elif columns and len(words) == len(columns):
            row = dict(zip(columns, words, strict=True))
            serving = not int(row["srv_admin_state"]) & _FORCED_MAINTENANCE
            found[row["be_name"], row["srv_name"]] = Standing(row["srv_addr"], int(row["srv_port"]), serving)
    return found


def wanted_standings(wanted: Wanted) -> dict[Key, Standing]:
    """Return the tasks that a proxy should have."""
    return {
        (backend.name, task_id): Standing(server.address, backend.port, server.serving)
        for backend in wanted.backends
        for task_id, server in backend.servers.items()
    }


def commands(wanted: Wanted, there: Mapping[Key, Standing]) -> Iterator[str]:
    """Yield what to tell a proxy that has the tasks `there`.

    A task that serves no more gets nothing new and keeps what it has, until it is gone. Routes
    that are not wanted any more are left alone: they need another process.
    """
    should, known = wanted_standings(wanted), {backend.name for backend in wanted.backends}
    for key, has in there.items():
        one = should.get(key)
        if key[0] not in known:
            continue
        if one is None or (one.address, one.port) != (has.address, has.port):
            yield from _remove(key)
        elif one.serving != has.serving:
            yield f"set server {'/'.join(key)} state {'ready' if one.serving else 'maint'}"
    for backend in wanted.backends:
        added = False
        for task_id, server in backend.servers.items():
            has_now = there.get((backend.name, task_id))
            if server.serving and (has_now is None or has_now.address != server.address):
                yield f"add server {backend.name}/{server_line(backend, task_id)}"
                yield f"enable server {backend.name}/{task_id}"
                added = True
        if added and backend.sticky:  # a server that is added has no cookie before
            yield f"set dynamic-cookie-key backend {backend.name} {backend.service_id}"


def proofs_shown(text: str) -> dict[str, str]:
    """Read what `show map` printed of the answers to ACME challenges."""
    rows = (line.split() for line in text.splitlines())
    return {
        row[1].removeprefix(CHALLENGES): row[2]
        for row in rows
        if len(row) == 3 and row[1].startswith(CHALLENGES)
    }


def proof_commands(wanted: Wanted, there: Mapping[str, str], path: str) -> Iterator[str]:
    """Yield what to tell a proxy that answers to the challenges `there`, out of the map at `path`."""
    for name in there.keys() - wanted.proofs.keys():
        yield f"del map {path} {CHALLENGES}{name}"
    for name, proof in wanted.proofs.items():
        if name not in there:
            yield f"add map {path} {CHALLENGES}{name} {proof}"
        elif there[name] != proof:
            yield f"set map {path} {CHALLENGES}{name} {proof}"


def _remove(key: Key) -> Iterator[str]:
    name = "/".join(key)
    yield f"set server {name} state maint"
    yield f"shutdown sessions server {name}"
    yield f"del server {name}"
