"""Which object does a person mean by an id, a name or the beginning of an id?"""

from swarm.errors import Ambiguous, InvalidArgument, NotFound
from swarm.manager.store.tables import T, Table, object_name

CANDIDATES_SHOWN = 5
_SHOWS = {"task": "service ps SERVICE", "cluster volume": "volume ls --cluster"}


def resolve(table: Table[T], kind: str, ref: str) -> T:
    """Return the object that `ref` names: its id, else its name, else the one id that begins with it.

    Raises NotFound, and Ambiguous with the candidates.
    """
    if not ref:
        raise InvalidArgument(f"no {kind} is named: give an id, a name or the beginning of an id")
    by_id = table.get(ref)
    if by_id is not None:
        return by_id
    found = list(table.named(ref)) or table.beginning_with(ref)
    if not found:
        shows = _SHOWS.get(kind, f"{kind} ls")
        raise NotFound(f"there is no {kind} {ref}; `swarmctl {shows}` shows those there are")
    if len(found) > 1:
        raise Ambiguous(f"{kind} {ref} may be any of {len(found)}: {_candidates(found)}")
    return found[0]


def _candidates(found: list[T]) -> str:
    shown = [f"{obj.id} ({object_name(obj) or 'no name'})" for obj in found[:CANDIDATES_SHOWN]]
    return ", ".join(shown) + (", …" if len(found) > CANDIDATES_SHOWN else "")
