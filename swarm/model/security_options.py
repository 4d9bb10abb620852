"""`--security-opt`: what the processes of a container may do beside, or instead of, what is usual."""

from collections.abc import Callable

from swarm.api.v1.types_pb2 import Privileges
from swarm.errors import InvalidArgument


def set_security(privileges: Privileges, text: str, read_file: Callable[[str], bytes]) -> None:
    """Write one option, e.g. `no-new-privileges=false` or `seccomp=FILE`; raises InvalidArgument.

    `read_file` returns the content of a file by its path.
    """
    name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
    if name == "no-new-privileges" and value in {"", "true", "false"}:
        privileges.no_new_privileges = value != "false"
    elif name == "seccomp" and value:
        privileges.seccomp.CopyFrom(_seccomp(value, read_file))
    elif name == "apparmor" and value:
        privileges.apparmor = value
    elif (name, value) == ("systempaths", "unconfined"):
        privileges.unmasked_paths = True
    elif (name, value) == ("label", "disable"):
        privileges.selinux_disabled = True
    elif name == "label":
        raise InvalidArgument(
            f"security option {text}: containers have no SELinux labels here, only disable"
        )
    else:
        raise InvalidArgument(
            f'security option "{text}": write no-new-privileges[=false], seccomp=unconfined|default|FILE, '
            "apparmor=PROFILE, systempaths=unconfined or label=disable"
        )


def _seccomp(value: str, read_file: Callable[[str], bytes]) -> Privileges.Seccomp:
    if value == "unconfined":
        return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_UNCONFINED)
    if value in {"default", "builtin"}:
        return Privileges.Seccomp()
    return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_CUSTOM, profile=read_file(value))


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
