"""Which columns do the options of ps ask for, as people give them to `top CONTAINER`? Pure.

Nodes do not run ps: they tell what they know of each process, and this chooses from it.
"""

from collections.abc import Iterator, Sequence

from swarm.errors import InvalidArgument

Columns = tuple[tuple[str, str], ...]

_USER_SHAPE = (
    ("USER", "User"),
    ("PID", "PID"),
    ("RSS", "Memory"),
    ("START", "STime"),
    ("TIME", "Time"),
    ("COMMAND", "Command"),
)
_LETTERS = frozenset("aAdefFlTuwxy")  # of which processes and how wide: all are shown, in full
_KEYS = {
    **dict.fromkeys(("user", "euser", "uname", "uid", "euid"), "User"),
    "pid": "PID",
    "ppid": "ParentPID",
    "rss": "Memory",
    "rsz": "Memory",
    **dict.fromkeys(("start", "stime", "start_time", "bsdstart"), "STime"),
    **dict.fromkeys(("lstart", "etime"), "Started"),
    **dict.fromkeys(("c", "pcpu", "%cpu"), "CPU"),
    **dict.fromkeys(("tty", "tt", "tname"), "TTY"),
    **dict.fromkeys(("time", "cputime", "bsdtime"), "Time"),
    **dict.fromkeys(("cmd", "args", "command"), "Command"),
    **dict.fromkeys(("comm", "ucmd", "ucomm"), "Name"),
}


def columns_of(options: Sequence[str], usual: Columns) -> Columns:
    """Return the columns that options such as `aux`, `-ef` and `-o pid,comm` ask for.

    Raises InvalidArgument for those that choose or order processes.
    """
    found: list[tuple[str, str]] = []
    shape, rest = usual, iter(options)
    for option in rest:
        letters = option.removeprefix("-")
        before, named, listed = letters.partition("o")
        if option.startswith("--") or not _LETTERS.issuperset(before) or not letters:
            raise _unknown(option)
        shape = _USER_SHAPE if "u" in before else shape
        if named:
            found += _chosen(option, listed or next(rest, ""))
    return tuple(found) or shape


def _chosen(option: str, listed: str) -> Iterator[tuple[str, str]]:
    for word in listed.replace(",", " ").split():
        name, renamed, title = word.partition("=")
        key = _KEYS.get(name.lower())
        if key is None:
            raise _unknown(f"{option} {name}")
        yield (title if renamed else name.upper(), key)


def _unknown(what: str) -> InvalidArgument:
    return InvalidArgument(
        f'"{what}" is no option of ps that is known here: write aux, -ef, or -o with some of user, pid, '
        "ppid, rss, start, time, cmd, comm"
    )
