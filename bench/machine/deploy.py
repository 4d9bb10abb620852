"""What `swarmctl cluster up` does to a machine before it becomes a member, for pyinfra.

Given as data: release, archive, digest, unpack (the script that swarmctl uses, too), unit, python_path,
python.
"""

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server, systemd

RELEASE = host.data.release
STAGED = f"/var/tmp/{RELEASE}.tar.gz"
PLACE = f"/opt/swarm/releases/{RELEASE}"

files.put(name="Upload the release", src=host.data.archive, dest=STAGED, mode="600")
if host.get_fact(File, path=f"{PLACE}/.complete") is None:
    server.script(
        name="Unpack and try it",
        src=host.data.unpack,
        args=(RELEASE, host.data.digest, STAGED, host.data.python_path, host.data.python, "''"),
    )
for target, path in (
    (PLACE, "/opt/swarm/current"),
    ("/opt/swarm/current/bin/swarmd", "/usr/local/bin/swarmd"),
    ("/opt/swarm/current/bin/swarmctl", "/usr/local/bin/swarmctl"),
):
    files.link(name=f"Link {path}", path=path, target=target)
unit = files.put(
    name="Install the unit", src=host.data.unit, dest="/etc/systemd/system/swarmd.service", mode="644"
)
systemd.service(
    name="Start the service", service="swarmd", running=True, enabled=True, daemon_reload=unit.will_change
)
server.shell(
    name="Ask it",
    commands="timeout 60 sh -c 'until swarmctl info --format json >/dev/null; do sleep 1; done'",
)
