"""The machine's own firewall must let through what comes from our interfaces and goes to them.

Docker and ufw, for example, make a machine drop everything that it forwards unasked, firewalld refuses it;
an accept in a table of ours cannot overrule that. An exception in the chain that drops can, and in firewalld
an interface in its zone `trusted`: also in its files, or its next reload would forget it.
Acts in the network namespace of the calling thread.
"""

import shutil
import subprocess

import structlog

from swarm.agent.network import nft

log = structlog.get_logger(__name__)

_CHAINS = ("DOCKER-USER", "FORWARD")  # Docker asks for exceptions in the first and empties the second
_FIREWALLD = "table inet firewalld"
_ZONE = "--zone=trusted"


def let_through(interface: str) -> bool:
    """Make exceptions for an interface where the machine would drop; return whether it would.

    May be repeated, and has to be: such a firewall may be started after us.
    """
    trusted = _firewalld_runs() and _trust(interface)
    if shutil.which("iptables") is None or not _drops_forwarded():
        return trusted
    for rule in _rules(interface):
        for chain in _CHAINS:
            if _says_yes("iptables", "-w", "-C", chain, *rule):
                break
            if _says_yes("iptables", "-w", "-I", chain, *rule):
                log.info("network.let_through", interface=interface, chain=chain)
                break
    return True


def forget(interface: str) -> None:
    """Remove the exceptions for an interface."""
    if _firewalld_runs():
        for where in ((), ("--permanent",)):
            _says_yes("firewall-cmd", *where, _ZONE, f"--remove-interface={interface}")
    if shutil.which("iptables") is None:
        return
    for rule in _rules(interface):
        for chain in _CHAINS:
            while _says_yes("iptables", "-w", "-D", chain, *rule):
                pass


def _trust(interface: str) -> bool:
    if _says_yes("firewall-cmd", _ZONE, f"--query-interface={interface}"):
        return True
    done = _says_yes("firewall-cmd", _ZONE, f"--change-interface={interface}")
    kept = done and _says_yes("firewall-cmd", "--permanent", _ZONE, f"--add-interface={interface}")
    log.info("network.let_through", interface=interface, zone="trusted", done=done, kept=kept)
    return done


def _firewalld_runs() -> bool:
    """Return whether firewalld looks after this namespace: its table is here."""
    if shutil.which("firewall-cmd") is None or not nft.available():
        return False
    return _FIREWALLD in nft.run("list tables inet").splitlines()


def _drops_forwarded() -> bool:
    listed = subprocess.run(["iptables", "-w", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "-P FORWARD ACCEPT" not in listed.stdout.splitlines()


def _rules(interface: str) -> list[list[str]]:
    return [["-i", interface, "-j", "ACCEPT"], ["-o", interface, "-j", "ACCEPT"]]


def _says_yes(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
