"""Somebody on a machine who cuts connections in the middle of what is done there, and lies about it.

It is root's login shell there: each command of an SSH connection passes through it, and all but its tricks
goes on to a real shell. A cut is the end of the connection's server, so nothing more is sent either way; the
command itself goes on, as one does whose network is cut, or is killed too.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.integration.machine.farm import Machine

HERE = "/srv/saboteur"
_SHELL = r"""#!/bin/bash
here=/srv/saboteur
PATH=$here/bin:$PATH
[ "$1" = -c ] || exec /bin/bash "$@"
go() { exec /bin/bash -c "$command"; }
cut() { kill -9 $PPID; exit 1; }
command=$2
[ ! -e $here/closed ] || cut
[ -s $here/armed ] || go
read -r moment sign until <$here/armed
case $command in *"${sign//+/ }"*) ;; *) go ;; esac
sed -i 1d $here/armed
echo "$moment $sign" >>$here/fired
[ ! -e $here/for_long ] || touch $here/closed
exec 3<&0
case $moment in
  before) cut ;;
  after) /bin/bash -c "$command" >/dev/null 2>&1; cut ;;
  trick) eval "$until"; go ;;
esac
set -m
/bin/bash -c "$command" <&3 &
until eval "$until"; do
  kill -0 $! 2>/dev/null || break
  sleep 0.01
done >/dev/null 2>&1
[ "$moment" = middle ] || kill -9 -- -$!
cut
"""


class Moment(StrEnum):
    """When the connection is cut; at KILLED the command dies with it, in its middle."""

    BEFORE = "before"
    MIDDLE = "middle"
    KILLED = "killed"
    AFTER = "after"


@dataclass(frozen=True)
class Step:
    """A step: what its command contains (`+` for blanks), and when it is in its middle."""

    sign: str
    middle: str


STEPS = {
    "probe": Step("What+is+this+machine?", "sleep 0.1"),
    "packages": Step("Install+packages+of+the", "pgrep -x dpkg"),
    "upload": Step("sftp-server", "[ $(cat /root/.cache/swarmctl/*.part | wc -c) -ge 1000000 ]"),
    "unpack": Step("Unpack+a+release", "[ -e /opt/swarm/.new.*/tree/lib ]"),
    "activate": Step("Use+release", "[ -L /usr/local/bin/swarmd ]"),
    "init": Step("swarmctl+init", "pgrep -f 'swarmctl init' && sleep 0.3"),
    "join": Step("swarmctl+join+", "[ -e /var/lib/swarm/joining.key ]"),
    "token": Step('swarmctl+join-token+-q+"$1"', "pgrep -f 'swarmctl join-token'"),
    "label": Step("--label-add", "pgrep -f 'swarmctl node update'"),
}


class Saboteur:
    """Works on one machine until `leave`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine("mkdir", "-p", f"{HERE}/bin")
        self._write("shell", _SHELL)
        machine("sed", "-i", rf"/^root:/s,:[^:]*$,:{HERE}/shell,", "/etc/passwd")

    def leave(self) -> None:
        """Let root have the shell of before, and take everything away."""
        self.machine("sed", "-i", "/^root:/s,:[^:]*$,:/bin/bash,", "/etc/passwd")
        self.machine("rm", "-rf", HERE)

    def cut(self, points: Sequence[tuple[str, Moment]], *, for_long: bool = False) -> None:
        """Cut at these points, one after the other; `for_long`: after the first until `let_in`."""
        self.machine("rm", "-f", f"{HERE}/fired", f"{HERE}/closed", f"{HERE}/for_long")
        lines = [f"{moment} {STEPS[step].sign} {STEPS[step].middle}" for step, moment in points]
        self._write("armed", "".join(f"{line}\n" for line in lines))
        if for_long:
            self.machine("touch", f"{HERE}/for_long")

    def at(self, step: str, trick: str) -> None:
        """Run a shell command just before a step."""
        self._write("armed", f"trick {STEPS[step].sign} {trick}\n")

    def lie(self, program: str, script: str) -> None:
        """Let a program say something else, until `tell_the_truth`."""
        self._write(f"bin/{program}", f"#!/bin/sh\n{script}\n")

    def tell_the_truth(self) -> None:
        self.machine("sh", "-c", f"rm -f {HERE}/bin/*")

    def let_in(self) -> None:
        self.machine("rm", "-f", f"{HERE}/closed", f"{HERE}/for_long")

    def fired(self) -> int:
        """How many cuts there were."""
        done = self.machine("cat", f"{HERE}/fired", check=False)
        return len(done.splitlines())

    def _write(self, name: str, text: str) -> None:
        quoted = shlex.quote(text)
        self.machine("sh", "-c", f"printf %s {quoted} >{HERE}/{name}; chmod 755 {HERE}/{name}")
