"""Who is the user of a container? Pure: texts of /etc/passwd and /etc/group in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from swarm.errors import TaskRejected
from swarm.runtime.images.shown import plain

_MAX_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class User:
    """Who the container's process runs as."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def resolve_user(wanted: str, passwd: str, group: str, more_groups: Sequence[str] = ()) -> User:
    """Return the user for `name`, `uid`, `name:group`, `uid:gid` and so on; empty means root.

    Names are looked up in the image's own files. A number without an entry is taken as it is. Raises
    TaskRejected for a name without an entry.
    """
    user = _resolve_user(wanted, passwd, group)
    more = (_group_id(one, group) for one in more_groups)
    return replace(user, additional_gids=tuple(dict.fromkeys((*user.additional_gids, *more))))


def _resolve_user(wanted: str, passwd: str, group: str) -> User:
    user, _, group_name = wanted.partition(":")
    account = _account(user or "0", passwd)
    if group_name:
        return User(account.uid, _group_id(group_name, group), (), account.home)
    return User(account.uid, account.gid, _memberships(account, group), account.home)


def _account(user: str, passwd: str) -> _Account:
    number = _number(user)
    for account in _accounts(passwd):
        if account.name == user or account.uid == number:
            return account
    if number is None:
        raise TaskRejected(
            f"unable to find user {plain(user)}: no matching entry in the image's /etc/passwd"
        )
    return _Account("", number, 0, "/root" if number == 0 else "/")


def _accounts(passwd: str) -> list[_Account]:
    accounts = []
    for fields in _entries(passwd):
        if len(fields) < 6 or not _is_id(fields[2]) or not _is_id(fields[3]) or "\0" in fields[5]:
            continue
        accounts.append(_Account(fields[0], _id(fields[2]), _id(fields[3]), fields[5] or "/"))
    return accounts


def _group_id(wanted: str, group: str) -> int:
    for fields in _entries(group):
        if len(fields) > 2 and fields[0] == wanted and _is_id(fields[2]):
            return _id(fields[2])
    number = _number(wanted)
    if number is None:
        raise TaskRejected(
            f"unable to find group {plain(wanted)}: no matching entry in the image's /etc/group"
        )
    return number


def _memberships(account: _Account, group: str) -> tuple[int, ...]:
    if not account.name:
        return ()
    gids = [
        _id(fields[2])
        for fields in _entries(group)
        if len(fields) > 3 and _is_id(fields[2]) and account.name in fields[3].split(",")
    ]
    return tuple(gid for gid in dict.fromkeys(gids) if gid != account.gid)


def _entries(text: str) -> list[list[str]]:
    return [
        line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal()):
        return None
    if not _is_id(text):
        raise TaskRejected(f"user or group id {text[:20]} is out of range")
    return _id(text)


def _id(digits: str) -> int:
    return int(digits.lstrip("0") or "0")


def _is_id(text: str) -> bool:
    """Tell whether a text is a number that a user or group can have; the image may say anything."""
    digits = text.lstrip("0") or "0"
    return (
        text.isascii() and text.isdecimal() and len(digits) <= len(str(_MAX_ID)) and int(digits) <= _MAX_ID
    )
