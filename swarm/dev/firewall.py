"""The host's own firewall must let the nodes of a dev cluster out.

Docker, for one, makes the host drop everything that it forwards and did not ask for; our own table cannot
overrule that, an exception in the chain that drops can. Hosts without iptables have no such chain.
"""

import shutil
import subprocess

_CHAINS = ("DOCKER-USER", "FORWARD")  # Docker asks for exceptions in the first


def open_for(link: str) -> None:
    """Let through what comes from and goes to an interface, where the host would drop it."""
    if not _drops_forwarded():
        return
    for rule in _rules(link):
        for chain in _CHAINS:
            if _iptables("-C", chain, *rule) or _iptables("-I", chain, *rule):
                break


def close(link: str) -> None:
    """Remove the exceptions for an interface."""
    if shutil.which("iptables") is None:
        return
    for rule in _rules(link):
        for chain in _CHAINS:
            while _iptables("-D", chain, *rule):
                pass


def _drops_forwarded() -> bool:
    if shutil.which("iptables") is None:
        return False
    listed = subprocess.run(["iptables", "-w", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "-P FORWARD ACCEPT" not in listed.stdout.splitlines()


def _rules(link: str) -> list[list[str]]:
    return [["-i", link, "-j", "ACCEPT"], ["-o", link, "-j", "ACCEPT"]]


def _iptables(*arguments: str) -> bool:
    done = subprocess.run(["iptables", "-w", *arguments], capture_output=True, check=False)
    return done.returncode == 0
