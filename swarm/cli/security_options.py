"""`--security-opt`: what the processes of a container may do beside, or instead of, what is usual."""

from pathlib import Path

from swarm.api.v1.types_pb2 import Privileges
from swarm.errors import InvalidArgument
from swarm.model.limits import SECCOMP_PROFILE_BYTES


def set_security(privileges: Privileges, text: str) -> None:
    """Write one option, e.g. `no-new-privileges=false` or `seccomp=FILE`; raises InvalidArgument."""
    name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
    if name == "no-new-privileges" and value in {"", "true", "false"}:
        privileges.no_new_privileges = value != "false"
    elif name == "seccomp" and value:
        privileges.seccomp.CopyFrom(_seccomp(value))
    elif name == "apparmor" and value:
        privileges.apparmor = value
    elif (name, value) == ("systempaths", "unconfined"):
        privileges.unmasked_paths = True
    elif (name, value) == ("label", "disable"):
        privileges.selinux_disabled = True
    elif name == "label":
        raise InvalidArgument(f"--security-opt {text}: containers have no SELinux labels here, only disable")
    else:
        raise InvalidArgument(
            f'--security-opt "{text}": write no-new-privileges[=false], seccomp=unconfined|default|FILE, '
            "apparmor=PROFILE, systempaths=unconfined or label=disable"
        )


def _seccomp(value: str) -> Privileges.Seccomp:
    if value == "unconfined":
        return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_UNCONFINED)
    if value in {"default", "builtin"}:
        return Privileges.Seccomp()
    try:
        with Path(value).open("rb") as file:
            # One more than is accepted: the manager refuses it by the name of the limit.
            content = file.read(SECCOMP_PROFILE_BYTES.value + 1)
    except OSError as error:
        raise InvalidArgument(f"--security-opt seccomp={value}: {error.strerror}") from None
    return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_CUSTOM, profile=content)


_SECURITY_FIELDS = {
    "no-new-privileges": "no_new_privileges",
    "seccomp": "seccomp",
    "apparmor": "apparmor",
    "systempaths": "unmasked_paths",
    "label": "selinux_disabled",
}


def clear_security(privileges: Privileges, text: str) -> None:
    """Take one option away, by its name; raises InvalidArgument when it is not there."""
    field = _SECURITY_FIELDS.get(text.partition("=")[0])
    if field is None or field not in {found.name for found, _ in privileges.ListFields()}:
        raise InvalidArgument(f"--security-opt-rm {text}: the service has no such entry")
    privileges.ClearField(field)
