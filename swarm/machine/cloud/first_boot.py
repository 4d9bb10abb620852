"""How do we know the machine that a cloud gives us, and it us? By keys that we made before it was there.

Its first host key comes from us, in the settings that cloud-init reads at the first boot: no stranger is
ever trusted. Programs on the machine can read those settings, so the key is replaced when we are in.
"""

import re
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from swarm.machine.host_keys import HostKey
from swarm.machine.store import write_private

OURS = "id_ed25519"  # opens the machine
FIRST_HOST_KEY = "first_host_key"  # what it shows until the key is replaced
_HOST_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")


def new_key() -> str:
    """Return a new private key (Ed25519, the form of OpenSSH)."""
    made = Ed25519PrivateKey.generate()
    return made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public_of(private: str) -> str:
    """Return `ssh-ed25519 AAAA…` of a private key; raises ValueError."""
    key = load_ssh_private_key(private.encode(), None)
    public: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return public.decode()


def host_key_of(private: str) -> HostKey:
    """Return the host key that a machine shows which has this private key."""
    algorithm, text = public_of(private).split()[:2]
    return HostKey(algorithm, text)


def key_file(folder: Path, name: str) -> Path:
    """Return the file of a private key in a machine's folder; made, with its `.pub`, unless it is there."""
    path = folder / name
    if not path.exists():
        private = new_key()
        write_private(path.with_name(f"{name}.pub"), public_of(private) + "\n")
        write_private(path, private)  # last: what is there is whole
    return path


def settings(name: str, host_key: str, allowed: str = "") -> str:
    """Return what cloud-init is to do at the first boot; the same for the same arguments.

    `host_key`: private key of the SSH server. `allowed`: public key of who may log in, where the cloud does
    not see to that itself.
    """
    wanted: dict[str, object] = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key, "ed25519_public": public_of(host_key)},
    }
    if _HOST_NAME.fullmatch(name):
        # sudo looks its own host up, so the name is in /etc/hosts, too
        wanted |= {"hostname": name, "preserve_hostname": False, "manage_etc_hosts": "localhost"}
    if allowed:
        wanted["ssh_authorized_keys"] = [allowed]
    text: str = yaml.safe_dump(wanted, sort_keys=True)
    return "#cloud-config\n" + text
