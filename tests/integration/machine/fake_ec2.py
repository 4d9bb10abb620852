"""The API of EC2 for machines of a farm: moto, with what it lacks, and wires that break.

`python fake_ec2.py FOLDER PORT`. In FOLDER, `faults` has a line `ACTION before|after` for each connection
that is to be cut, before or after the action is done; `calls` gets a line for each action;
`instances/ID.json` is what a machine could read of itself: address, user data, the key that it came with.
"""

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
IMAGE = "ami-0123456789abcdef0"
os.environ["MOTO_AMIS_PATH"] = str(FOLDER / "images.json")
(FOLDER / "images.json").write_text(
    json.dumps(
        [
            {
                "ami_id": IMAGE,
                "name": "debian-12",
                "description": "",
                "owner_id": "136693071363",
                "public": True,
                "virtualization_type": "hvm",
                "architecture": "x86_64",
                "state": "available",
                "platform": None,
                "image_type": "machine",
                "hypervisor": "xen",
                "sriov": "simple",
                "root_device_name": "/dev/sda1",
                "root_device_type": "ebs",
                "creation_date": "2024-01-01",
            }
        ]
    )
)

from moto.ec2.models import ec2_backends  # noqa: E402
from moto.ec2.utils import random_public_ip  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import run_simple  # noqa: E402

ACCOUNT = "123456789012"
# EC2 writes its namespace with a slash at the end, and errors without any; the library relies on both.
ERROR = b'<Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
NAMESPACE = re.compile(rb'(http://ec2\.amazonaws\.com/doc/[0-9-]+)"')
(FOLDER / "instances").mkdir(exist_ok=True)
keys: dict[str, str] = {}


class Cut(Exception):
    """The connection is to end without an answer."""


def fault(action: str) -> str:
    """Take the next fault of this action off the list."""
    path = FOLDER / "faults"
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        name, _, when = line.partition(" ")
        if name == action:
            lines.remove(line)
            path.write_text("".join(f"{one}\n" for one in lines))
            return when
    return ""


def remember(given: dict[str, list[str]], answer: bytes) -> None:
    """Keep what a machine that was just made could ask for."""
    region = FOLDER.joinpath("region").read_text()
    for name in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", answer):
        instance = ec2_backends[ACCOUNT][region].get_instance(name.decode())
        path = FOLDER / "instances" / f"{instance.id}.json"
        if "UserData" in given:
            data = base64.b64decode(given["UserData"][0]).decode()
            told = {"user_data": data, "key": keys[given["KeyName"][0]]}
        else:  # it starts again, and gets another address, as with EC2
            told = json.loads(path.read_text())
            instance.nics[0].public_ip = random_public_ip()
        told["address"] = instance.public_ip
        path.with_suffix(".new").write_text(json.dumps(told))
        path.with_suffix(".new").rename(path)


def wired(moto: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return moto with EC2's namespace, as EC2 writes it, and with faults."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        given = parse_qs(environ.get("QUERY_STRING", "")) | parse_qs(body.decode())
        action = given.get("Action", [""])[0]
        when = fault(action)
        with (FOLDER / "calls").open("a") as calls:
            calls.write(f"{action} {when}".rstrip() + "\n")
        if when == "before":
            raise Cut
        if action == "ImportKeyPair":
            keys[given["KeyName"][0]] = base64.b64decode(given["PublicKeyMaterial"][0]).decode()
        import io

        environ["wsgi.input"] = io.BytesIO(body)
        said: list[Any] = []
        answer = b"".join(moto(environ, lambda status, headers, *_: said.extend((status, headers))))
        if action in ("RunInstances", "StartInstances") and said[0].startswith("200"):
            remember(given, answer)
        if when == "after":
            raise Cut
        answer = NAMESPACE.sub(rb'\1/"', answer).replace(ERROR, b"<Response>")
        headers = [(name, value) for name, value in said[1] if name.lower() != "content-length"]
        start(said[0], [*headers, ("Content-Length", str(len(answer)))])
        return [answer]

    def cut(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return application(environ, start)
        except Cut:
            import socket

            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError("cut") from None

    return cut


if __name__ == "__main__":
    run_simple("127.0.0.1", PORT, wired(DomainDispatcherApplication(create_backend_app)), threaded=True)
