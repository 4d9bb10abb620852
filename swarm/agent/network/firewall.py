"""The machine's own firewall must let through what comes from our interfaces and goes to them.

Docker, for one, makes a machine drop everything that it forwards unasked; an accept in a table of ours
cannot overrule that, an exception in the chain that drops can. Machines without iptables have no such
chain.
Acts in the network namespace of the calling thread.
"""

import shutil
import subprocess

_CHAINS = ("DOCKER-USER", "FORWARD")  # Docker asks for exceptions in the first and empties the second


def let_through(interface: str) -> bool:
    """Make exceptions for an interface where the machine would drop; return whether it would."""
    if shutil.which("iptables") is None or not _drops_forwarded():
        return False
    for rule in _rules(interface):
        for chain in _CHAINS:
            if _iptables("-C", chain, *rule) or _iptables("-I", chain, *rule):
                break
    return True


def forget(interface: str) -> None:
    """Remove the exceptions for an interface."""
    if shutil.which("iptables") is None:
        return
    for rule in _rules(interface):
        for chain in _CHAINS:
            while _iptables("-D", chain, *rule):
                pass


def _drops_forwarded() -> bool:
    listed = subprocess.run(["iptables", "-w", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "-P FORWARD ACCEPT" not in listed.stdout.splitlines()


def _rules(interface: str) -> list[list[str]]:
    return [["-i", interface, "-j", "ACCEPT"], ["-o", interface, "-j", "ACCEPT"]]


def _iptables(*arguments: str) -> bool:
    done = subprocess.run(["iptables", "-w", *arguments], capture_output=True, check=False)
    return done.returncode == 0
