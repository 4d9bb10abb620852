"""Other programs that rule over packets on the same machine: Docker, firewalld, ufw, libvirt.

Whoever comes first and whoever is reloaded: our tasks reach the world and are reached, theirs too, and when
we leave nothing of ours is left in their rules.
"""

import contextlib
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.network import namespaces
from swarm.firewalls.closed import Closed, closed, read_signs, script
from swarm.machine.doctor import NODE_PORTS
from tests.integration.dockerd import dockerd
from tests.integration.network.lab import NODE, OUTSIDE, Lab
from tests.integration.operator import wait_until

pytestmark = pytest.mark.integration

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/>
<allow receive_type="error"/></policy></busconfig>"""
# As libvirt 9 makes them for its network `default`.
LIBVIRT = """
ip link add virbr0 type bridge && ip addr add 192.168.122.1/24 dev virbr0 && ip link set virbr0 up
iptables -N LIBVIRT_FWI && iptables -N LIBVIRT_FWO && iptables -N LIBVIRT_FWX
iptables -I FORWARD -j LIBVIRT_FWO && iptables -I FORWARD -j LIBVIRT_FWI
iptables -I FORWARD -j LIBVIRT_FWX
iptables -A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
iptables -A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
iptables -A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
iptables -A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
iptables -t nat -N LIBVIRT_PRT && iptables -t nat -I POSTROUTING -j LIBVIRT_PRT
iptables -t nat -A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    made.agent.log.touch()
    try:
        made.serve(made.outside, 7000)
        yield made
    finally:
        made.close()


def at(lab: Lab, *command: str, **options: Any) -> str:
    """Run a command as if on the node."""
    with namespaces.entered(lab.node):
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def rules(lab: Lab) -> str:
    """Return every rule of the node, ours and theirs."""
    return at(lab, "nft", "-s", "list", "ruleset")


def tasks_work(lab: Lab) -> None:
    """A task reaches the world as its node, and is reached; those who ask keep their addresses."""
    with contextlib.suppress(Exception):
        lab.agent.call("detach", "task1")
    task = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    assert lab.ask(task.netns, OUTSIDE, 7000) == NODE
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE


def way_out_is_one(lab: Lab, firewall: str, *inside: str) -> None:
    """What is said of a firewall that closes ports between nodes is right, and what is to open them does."""

    def found() -> dict[str, Closed]:
        signs = read_signs(at(lab, *inside, "sh", "-c", script(NODE_PORTS)))
        return {one.port: one for one in closed(signs, NODE_PORTS)}

    there = found()
    assert {port: one.firewall for port, one in there.items()} == dict.fromkeys(NODE_PORTS, firewall)
    for one in there.values():
        at(lab, *inside, "sh", "-c", one.fix.replace("NODES", "10.99.0.0/24"))
    assert found() == {}


def in_any_order(
    lab: Lab, begin: Callable[[], None], reload: Callable[[], None], theirs: Callable[[], None]
) -> None:
    """Meet a neighbour who is there already, who comes later, and who is reloaded; then leave."""
    begin()
    theirs()
    alone = at(lab, "iptables", "-S", "FORWARD")
    lab.agent.start()
    tasks_work(lab)
    theirs()
    reload()
    tasks_work(lab)
    theirs()
    lab.agent.call("teardown")
    assert "swarm" not in rules(lab)
    assert at(lab, "iptables", "-S", "FORWARD") == alone
    theirs()


def test_docker_and_its_containers_live_on_beside_ours(lab: Lab, tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs.tar"
    with tarfile.open(rootfs, "w") as archive:
        archive.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
    options = ("--bridge=", "--iptables=true", "--ip-forward=true", "--bip=172.31.250.1/24")
    with namespaces.entered(lab.node), contextlib.ExitStack() as stack:
        docker = stack.enter_context(dockerd(tmp_path / "docker", *options))
        docker("import", str(rootfs), "busybox:1")
        serve = ("/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/bin")
        docker("run", "-d", "--name", "one", "-p", "8081:80", "busybox:1", *serve)

        def page() -> bytes:
            with contextlib.suppress(OSError), lab.connect(lab.outside, NODE, 8081) as client:
                client.sendall(b"GET /none HTTP/1.0\r\n\r\n")
                return client.recv(100)
            return b""

        wait_until(page, what="the server in the container")

        def theirs() -> None:
            fetch = ("/bin/busybox", "nc", "-w", "60", OUTSIDE, "7000")
            said = docker("exec", "-i", "one", *fetch, stdin="hello")
            assert said == NODE
            assert b" 404 " in page()

        def drop() -> None:
            at(lab, "iptables", "-P", "FORWARD", "DROP")  # as Docker does where it switches forwarding on

        def reload() -> None:
            docker.process.send_signal(signal.SIGHUP)

        in_any_order(lab, drop, reload, theirs)


@pytest.fixture
def bus(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A message bus of the node's own."""
    path = lab.root / "bus"
    (tmp_path / "bus.conf").write_text(BUS.format(path=path))
    command = ["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--nosyslog"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(path.exists, what="the bus")
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
            yield path
        finally:
            daemon.kill()


@pytest.mark.usefixtures("bus")
def test_firewalld_trusts_our_interface_also_after_its_reload_and_until_we_leave(
    lab: Lab, tmp_path: Path
) -> None:
    files = tmp_path / "firewalld"
    files.mkdir()
    command = ["firewalld", "--nofork", "--nopid", f"--system-config={files}", f"--log-file={tmp_path}/log"]
    with contextlib.ExitStack() as stack:

        def begin() -> None:
            with namespaces.entered(lab.node):
                daemon = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(daemon.terminate)
            state = ["firewall-cmd", "--state"]
            wait_until(lambda: subprocess.run(state, capture_output=True, check=False).returncode == 0, 60)
            at(lab, "firewall-cmd", "--zone=public", "--change-interface=eth0")

        def theirs() -> None:
            assert "ssh" in at(lab, "firewall-cmd", "--zone=public", "--list-services")

        lab.agent.start()
        begin()  # after us
        lab.agent.call("check")
        tasks_work(lab)
        at(lab, "firewall-cmd", "--reload")
        tasks_work(lab)
        theirs()
        way_out_is_one(lab, "firewalld")
        lab.agent.call("teardown")
        assert "swarm" not in rules(lab)
        assert not [path for path in files.rglob("*.xml") if "swarm" in path.read_text()]


def test_ufw_lets_our_tasks_through_before_and_after_its_reload(lab: Lab, tmp_path: Path) -> None:
    """With a copy of its files: it would be switched on for the whole machine, at its next start too."""
    for name in ("etc", "lib"):
        shutil.copytree({"etc": "/etc/ufw", "lib": "/lib/ufw"}[name], tmp_path / name)
    (tmp_path / "default").write_text(Path("/etc/default/ufw").read_text())
    with subprocess.Popen(["unshare", "--mount", "sleep", "infinity"]) as holder:
        try:
            own = Path("/proc/self/ns/mnt").stat().st_ino
            wait_until(lambda: Path(f"/proc/{holder.pid}/ns/mnt").stat().st_ino != own)
            inside = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")
            mounts = {"etc": "/etc/ufw", "lib": "/lib/ufw", "default": "/etc/default/ufw"}
            for name, place in mounts.items():
                at(lab, *inside, "mount", "--bind", str(tmp_path / name), place)

            def begin() -> None:
                at(lab, *inside, "ufw", "--force", "enable")
                assert "-P FORWARD DROP" in at(lab, "iptables", "-S", "FORWARD")

            def reload() -> None:
                at(lab, *inside, "ufw", "reload")

            def theirs() -> None:
                assert "Status: active" in at(lab, *inside, "ufw", "status")

            in_any_order(lab, begin, reload, theirs)
            way_out_is_one(lab, "ufw", *inside)
        finally:
            holder.kill()


def test_the_virtual_machines_of_libvirt_are_reached_as_before(lab: Lab) -> None:
    vm = lab.root / "vm"
    namespaces.create(vm)
    try:

        def begin() -> None:
            at(lab, "sh", "-ec", LIBVIRT)
            at(lab, "ip", "link", "add", "vnet0", "type", "veth", "peer", "name", "vm0")
            at(lab, "ip", "link", "set", "vnet0", "master", "virbr0", "up")
            at(lab, "sh", "-c", f"exec 3< {vm}; ip link set vm0 netns /proc/self/fd/3")
            with namespaces.entered(vm):
                for words in (
                    "addr add 192.168.122.2/24 dev vm0",
                    "link set vm0 up",
                    "route add default via 192.168.122.1",
                ):
                    subprocess.run(["ip", *words.split()], check=True)

        def theirs() -> None:
            at(lab, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")  # as libvirt does when it starts
            assert lab.ask(vm, OUTSIDE, 7000) == NODE

        in_any_order(lab, begin, lambda: None, theirs)
    finally:
        namespaces.remove(vm)
