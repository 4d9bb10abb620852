"""What has to be done on a machine, and may it be? Pure: facts and wishes in, steps out.

The plan is what the machine lacks. Whoever comes again, after a cut say, asks the machine anew and gets the
rest; no step left means that nothing is to be changed.
"""

from dataclasses import dataclass
from enum import StrEnum

from swarm.machine.probe import Facts

CLOCK_SKEW_MAX_S = 60  # certificates are valid from now on, in the clock of who signs them
DISK_FREE_MIN_BYTES = 400 << 20  # the archive, its copy, the tree, and some for the node
ROOM_MIN_BYTES = {
    "/etc": 1 << 20,
    "/usr/local": 1 << 20,
    "/var/lib/swarm": 100 << 20,
}  # units, links, what a node knows
HOME_ROOM_MIN_BYTES = 64 << 20  # where an upload waits
MANAGER_PORT = 2377
PACKAGES = {  # program -> package, by package manager; what has no name there is done without
    "apt-get": {
        "crun": "crun",
        "conmon": "conmon",
        "nft": "nftables",
        "busybox": "busybox-static",
        "tini-static": "tini",
    },
    "dnf": {"crun": "crun", "conmon": "conmon", "nft": "nftables"},
    "zypper": {"crun": "crun", "conmon": "conmon", "nft": "nftables"},
    "pacman": {"crun": "crun", "conmon": "conmon", "nft": "nftables", "busybox": "busybox"},
}
_TOOLS = ("sha256sum", "tar", "gzip")


class Kind(StrEnum):
    """What a step does, in the order of the steps."""

    MAKE = "make"  # by its driver, before anything can be asked of it
    PACKAGES = "packages"
    UPLOAD = "upload"
    UNPACK = "unpack"
    ACTIVATE = "activate"
    INIT = "init"
    JOIN = "join"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Wish:
    """How the machine is to be. `role` "" keeps it out of clusters.

    `unit` is the digest of the service, "" for any. `cluster_id` and `node_id` are "" while they are not
    known; `begun`: we have tried to make it a member;
    `labels` (KEY=VALUE) are those that its node lacks; `taken_by`: another machine is its node on record.
    """

    release: str
    unit: str
    role: str = ""
    founds: bool = False
    cluster_id: str = ""
    node_id: str = ""
    begun: bool = False
    labels: tuple[str, ...] = ()
    packages: bool = True
    taken_by: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `words` are what it works with, `title` is for people."""

    kind: Kind
    title: str
    words: tuple[str, ...] = ()


def refusals(facts: Facts, wish: Wish, now_s: int) -> list[str]:
    """Return why nothing may be done there, each with what to do; none: go on."""
    found = [*_unfit(facts, wish, now_s), *_taken(facts, wish)]
    if facts.node_id and wish.node_id and facts.node_id != wish.node_id:
        found.append(
            f"it is node {facts.node_id} now, on record is {wish.node_id}: swarmctl machine rm "
            "--keep-remote NAME, "
            "then create it again"
        )
    if facts.node_id and wish.role and not (wish.cluster_id or wish.begun or wish.node_id):
        found.append(
            f"it is node {facts.node_id} of a cluster already: add --adopt if it is to stay "
            "there, or run `swarmctl leave --force` on it"
        )
    if facts.node_id and wish.taken_by:
        found.append(
            f"it is node {facts.node_id}, as machine {wish.taken_by} is: they are the same machine, or one "
            "has a copy of the other's disk; leave one out, or run `swarmctl leave --force` on the copy"
        )
    if facts.node_id and wish.cluster_id and facts.cluster_id not in ("", wish.cluster_id):
        found.append(
            f"it belongs to another cluster ({facts.cluster_id}, not {wish.cluster_id}): run "
            "`swarmctl leave --force` there, if that may be"
        )
    return found


def _unfit(facts: Facts, wish: Wish, now_s: int) -> list[str]:
    found = []
    if not facts.systemd:
        found.append("systemd does not run there: install by hand (deploy/bootstrap.py install)")
    missing = [tool for tool in _TOOLS if tool in facts.missing]
    if missing:
        found.append(f"{', '.join(missing)} is missing there: install it")
    skew = facts.now_s - now_s
    if abs(skew) > CLOCK_SKEW_MAX_S:
        found.append(
            f"its clock is {abs(skew)} s {'ahead' if skew > 0 else 'behind'}: certificates would not be "
            "valid; "
            "set it (timedatectl set-ntp true)"
        )
    return [*found, *_full(facts, wish)]


def _full(facts: Facts, wish: Wish) -> list[str]:
    """Return which disks have no room for what is not there yet."""
    if wish.release in facts.complete:
        return []
    rooms = [("/opt/swarm", facts.disk_free_bytes, DISK_FREE_MIN_BYTES)]
    rooms += [
        (place, free, ROOM_MIN_BYTES.get(place, HOME_ROOM_MIN_BYTES))
        for place, free in facts.room
        if place != "/opt"
    ]
    found = [
        f"only {free >> 20} MB are free for {place}; {needed >> 20} MB are needed"
        for place, free, needed in rooms
        if free < needed
    ]
    return found + [
        f"the disk of {place} can hold no more files (df -i {place})" for place in facts.no_inodes
    ]


def _taken(facts: Facts, wish: Wish) -> list[str]:
    found = [f"{path} is there and not ours: move it away, or remove its package" for path in facts.foreign]
    if MANAGER_PORT in facts.listens and facts.active != "active" and wish.role:
        who = " (Docker's own swarm mode uses it: docker swarm leave)" if facts.docker else ""
        found.append(f"port {MANAGER_PORT} is taken there by another program{who}")
    return found


def notes(facts: Facts, wish: Wish) -> list[str]:
    """Return what people should know although it hinders nothing."""
    found = []
    if facts.docker:
        found.append("Docker is there: it is left alone; do not publish the same ports from both")
    if facts.missing and facts.packages not in PACKAGES and wish.packages:
        found.append(
            f"without {', '.join(facts.missing)}: install them with the package manager of {facts.os}"
        )
    return found


def plan(facts: Facts, wish: Wish) -> tuple[Step, ...]:
    """Return what the machine lacks, in order."""
    labels = (
        [Step(Kind.LABEL, f"label its node {', '.join(wish.labels)}", wish.labels)] if wish.labels else []
    )
    return (*_installing(facts, wish), *_membership(facts, wish), *labels)


def _installing(facts: Facts, wish: Wish) -> list[Step]:
    steps = []
    known = PACKAGES.get(facts.packages, {})
    packages = tuple(sorted(known[program] for program in facts.missing if program in known))
    if packages and wish.packages:
        steps.append(Step(Kind.PACKAGES, f"install {', '.join(packages)} ({facts.packages})", packages))
    there = wish.release in facts.complete
    if not there:
        steps.append(Step(Kind.UPLOAD, f"upload release {wish.release}", (wish.release,)))
        steps.append(Step(Kind.UNPACK, f"unpack it to /opt/swarm/releases/{wish.release}", (wish.release,)))
    whole = there and facts.release == wish.release and wish.unit in ("", facts.unit)
    runs = facts.active == "active" and facts.enabled == "enabled" and len(facts.linked) == 2
    if facts.busy or not (whole and runs):  # what is still on trial may not stay
        another = facts.release not in ("", wish.release)
        before = f"; {facts.release} is gone back to if it is not healthy" if another else ""
        steps.append(Step(Kind.ACTIVATE, f"use it and start the service{before}", (wish.release,)))
    return steps


def _membership(facts: Facts, wish: Wish) -> list[Step]:
    if not wish.role or facts.node_id:
        return []
    if wish.founds:
        return [Step(Kind.INIT, "start the cluster, as its first manager")]
    return [Step(Kind.JOIN, f"join the cluster as a {wish.role}", (wish.role,))]
