"""A cloud of one machine: moto answers for EC2, and whoever it makes is a machine of the farm."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from tests.integration.machine.farm import Farm, Machine
from tests.integration.operator import wait_until

REGION, IMAGE, SIZE, PORT = "eu-central-1", "ami-0123456789abcdef0", "t3.small", 5999
SECRET = "the-secret-of-the-account"
# What cloud-init does with the user data; $1 host key, $2 who may log in, $3 host name
FIRST_BOOT = """
set -e; umask 077
rm -f /etc/ssh/ssh_host_*
printf '%s\\n' "$1" > /etc/ssh/ssh_host_ed25519_key
printf '%s\\n' "$2" > /home/ada/.ssh/authorized_keys
hostname "$3"
echo "$3" > /etc/hostname
printf '127.0.1.1 %s\\n' "$3" >> /etc/hosts
systemctl restart ssh
"""


class Cloud:
    """What moto has made is on the air while this is entered."""

    def __init__(self, farm: Farm, folder: Path) -> None:
        self.farm, self.folder = farm, folder
        folder.mkdir()
        (folder / "region").write_text(REGION)
        self.url = f"http://127.0.0.1:{PORT}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL_EC2": self.url,
        }
        self._seen: dict[str, str] = {}
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def machine(self) -> Machine:
        return self.farm.machines[0]

    def __enter__(self) -> "Cloud":
        program = [sys.executable, str(Path(__file__).with_name("fake_ec2.py")), str(self.folder), str(PORT)]
        with (self.folder / "log").open("wb") as log:
            self._server = subprocess.Popen(self.farm.command(*program), stdout=log, stderr=log)
        self._watcher.start()
        try:
            wait_until(self._answers, 240, "the cloud")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        return self.farm.run("curl", "-s", "-o", "/dev/null", self.url).returncode == 0

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def faults(self, *lines: str) -> None:
        """Cut connections: `ACTION before|after`."""
        (self.folder / "faults").write_text("".join(f"{line}\n" for line in lines))

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def told(self) -> dict[str, Any]:
        """What the machine that was made last was told, by id."""
        return {
            path.stem: json.loads(path.read_text())
            for path in self.folder.joinpath("instances").glob("*.json")
        }

    def states(self) -> dict[str, str]:
        """The states of all machines that were ever made."""
        answer = self._ask("DescribeInstances")
        items = answer.split("<instanceId>")[1:]
        return {
            item[: item.index("<")]: item.split("<instanceState>")[1].split("<name>")[1].split("<")[0]
            for item in items
        }

    def living(self) -> list[str]:
        return [name for name, state in self.states().items() if state != "terminated"]

    def keys(self) -> int:
        return self._ask("DescribeKeyPairs").count("<keyName>")

    def terminate(self, instance: str) -> None:
        """Somebody destroys a machine in the cloud's console."""
        self._ask("TerminateInstances", f"&InstanceId.1={instance}")

    def _ask(self, action: str, more: str = "") -> str:
        credential = f"Credential=a/20260101/{REGION}/ec2/aws4_request"
        done = self.farm.run(
            *(
                "curl",
                "-sf",
                "-H",
                f"Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=x",
            ),
            f"{self.url}/?Action={action}&Version=2016-11-15{more}",
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def _watch(self) -> None:
        """Boot what moto makes: the machine gets the address, and does what it was told to first."""
        while not self._over.wait(0.2):
            for name, told in self.told().items():
                before = self._seen.get(name)
                if before == told["address"] or not self.machine.leader:
                    continue
                self._lend(told["address"])
                if before is None:
                    wanted = yaml.safe_load(told["user_data"])
                    words = (wanted["ssh_keys"]["ed25519_private"], told["key"], wanted["hostname"])
                    self.machine("sh", "-c", FIRST_BOOT, "sh", *words)
                self._seen[name] = told["address"]

    def _lend(self, address: str) -> None:
        """Translate the address, as EC2 does: the machine itself knows only its own."""
        subprocess.run(
            self.farm.command("nft", "-f", "-"),
            input=f"""table ip cloud
delete table ip cloud
table ip cloud {{
  chain out {{
    type nat hook output priority -100
    ip daddr {address} dnat to {self.machine.address}
  }}
}}
""",
            text=True,
            check=True,
        )
        # Before it is translated it has to lead somewhere.
        ip = ("ip", "-n", self.farm.bridge)
        subprocess.run([*ip, "route", "replace", f"{address}/32", "dev", "br0"], check=True)
