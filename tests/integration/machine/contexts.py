"""Reaching members with `--host ssh://…`, through real sshd, with the files in a person's ~/.ssh."""

from tests.integration.machine.conftest import Laptop
from tests.integration.machine.farm import Machine

LIST = ("node", "ls", "--format", "{{.Hostname}}")


def reached_over_ssh(laptop: Laptop, member: Machine, bare: Machine) -> None:
    """Go to `member` directly and through another machine, and hear why it cannot be as it is."""
    folder = laptop.folder / ".ssh"
    folder.mkdir(mode=0o700)
    key = "/etc/ssh/ssh_host_ed25519_key.pub"
    known = [f"{one.address} {one('cat', key)}\n" for one in (member, bare)]
    (folder / "known_hosts").write_text("".join(known))
    (folder / "config").write_text(
        f"Host *\n IdentityFile {laptop.farm.key}\n\nHost far\n HostName {member.address}\n User root\n"
        f" ProxyJump ada@{bare.address}\n"
    )
    direct = f"ssh://root@{member.address}"
    nodes = laptop("--host", direct, *LIST)
    assert nodes
    assert laptop("--host", "ssh://far", *LIST) == nodes
    laptop("context", "create", "lab", "--host", "ssh://far")
    assert laptop("--context", "lab", *LIST) == nodes

    for host, why in (
        (f"ssh://ada@{member.address}", "may not be opened by ada, only by root"),
        (f"ssh://root@{bare.address}", "its socket /run/swarm/swarmd.sock is not there"),
        (f"ssh://eve@{member.address}", "does not let us in"),
    ):
        refused = laptop.try_("--host", host, *LIST)
        assert refused.returncode == 1
        assert why in refused.stderr, refused.stderr
    (folder / "known_hosts").write_text(f"{member.address} {bare('cat', key)}\n")
    refused = laptop.try_("--host", direct, *LIST)
    assert "the host key has CHANGED" in refused.stderr, refused.stderr
    assert f"ssh-keygen -R '{member.address}'" in refused.stderr
