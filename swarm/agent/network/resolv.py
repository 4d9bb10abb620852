"""What do tasks see as /etc/resolv.conf?"""

_NDOTS = "ndots:0"


def for_tasks(node: str, server: str, *, in_networks: bool) -> str:
    """Return the tasks' resolv.conf: the node's, with one name server in place of the node's.

    In networks of its own a task asks for short names as they are first: with search domains before
    them, the world would hear of each, and could answer.
    """
    kept = [line for line in node.splitlines() if line.split()[:1] in (["search"], ["options"], ["domain"])]
    if in_networks and not any(says_ndots(line.split()) for line in kept):
        kept.append(f"options {_NDOTS}")
    return "".join(f"{line}\n" for line in [f"nameserver {server}", *kept])


def says_ndots(options: list[str]) -> bool:
    """Return whether somebody said how many dots make a name a full one."""
    return any(one.startswith("ndots:") for one in options)


def with_ndots(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options that somebody gave a task in networks; empty when nobody gave any."""
    return options if not options or says_ndots(list(options)) else (*options, _NDOTS)
