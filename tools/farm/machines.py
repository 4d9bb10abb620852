"""Machines of systemd-nspawn on which real containers run, for a farm of them."""

import subprocess
from pathlib import Path

from tests.integration.machine.farm import Farm, Machine

# What nspawn lets a machine only look at, and a daemon of containers has to change.
UNLOCK = """\
[Unit]
Description=Let this machine change its own cgroups and network
Before=swarmd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for at in /sys/fs/cgroup/* /proc/sys; do \
mountpoint -q $at && mount -o remount,bind,rw $at; done; true'
"""
# Puts this shell, and the machine after it, into cgroups of its own, where they are of version 1.
_CGROUPS = """
for at in /sys/fs/cgroup/*/; do
  kind=$(basename "$at")
  [ -e "$at/tasks" ] && [ "$kind" != systemd ] && [ ! -L "${at%/}" ] || continue
  own=$(awk -F: -v kind="$kind" '$2 == kind {print $3}' /proc/self/cgroup)
  [ -n "$own" ] || continue
  mkdir -p "$at$own/$4"
  [ "$kind" != cpuset ] || for list in cpus mems; do
    cat "$at$own/cpuset.$list" >"$at$own/$4/cpuset.$list"
  done
  echo $$ >"$at$own/$4/cgroup.procs"
done
"""
BOOT = Machine.boot.replace("while :;", f"{_CGROUPS}while :;").replace(
    "--capability=all", '--capability=all --bind="$1/state:/var/lib/swarm"'
)


class ContainerMachine(Machine):
    """A machine whose node has a disk of its own and may make cgroups."""

    boot = BOOT

    def stop(self) -> None:
        """Power off at once, and leave no cgroup behind."""
        super().stop()
        below = ("-path", f"*/{self.namespace}", "-o", "-path", f"*/{self.namespace}/*")
        find = ("find", "/sys/fs/cgroup", "-depth", "-type", "d", "(", *below, ")")
        subprocess.run([*find, "-exec", "rmdir", "{}", ";"], check=False, capture_output=True)


class ContainerFarm(Farm):
    """Machines that run containers."""

    kind = ContainerMachine

    def _furnish(self, machine: Machine) -> None:
        super()._furnish(machine)
        (machine.folder / "state").mkdir()
        etc = machine.folder / "upper/etc"
        (etc / "swarm/swarmd.toml").unlink()
        units = etc / "systemd/system"
        wanted = units / "multi-user.target.wants"
        wanted.mkdir(parents=True)
        (units / "unlock.service").write_text(UNLOCK)
        (wanted / "unlock.service").symlink_to(Path("/etc/systemd/system/unlock.service"))
