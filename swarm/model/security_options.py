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
    elif name == "label" and value:
        _set_label(privileges, value, text)
    else:
        raise InvalidArgument(
            f'security option "{text}": write no-new-privileges[=false], seccomp=unconfined|default|FILE, '
            "apparmor=PROFILE, systempaths=unconfined, "
            "label=disable, label=nested or label=user|role|type|level:VALUE"
        )


def _set_label(privileges: Privileges, value: str, text: str) -> None:
    """Write one part of an SELinux label; what comes later counts, as with other engines."""
    part, _, word = value.partition(":")
    if value == "disable":
        privileges.ClearField("selinux")
        privileges.selinux_disabled = True
        return
    if value == "nested":
        privileges.selinux.nested = True
    elif part in {"user", "role", "type", "level"} and word:
        setattr(privileges.selinux, part, word)
    else:
        raise InvalidArgument(
            f'security option "{text}": write label=disable, label=nested, label=user:NAME, '
            "label=role:NAME, label=type:NAME or label=level:LEVEL, e.g. label=type:svirt_apache_t"
        )
    privileges.selinux_disabled = False


def _seccomp(value: str, read_file: Callable[[str], bytes]) -> Privileges.Seccomp:
    if value == "unconfined":
        return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_UNCONFINED)
    if value in {"default", "builtin"}:
        return Privileges.Seccomp()
    return Privileges.Seccomp(mode=Privileges.Seccomp.MODE_CUSTOM, profile=read_file(value))


_SECURITY_FIELDS = {
    "no-new-privileges": ("no_new_privileges",),
    "seccomp": ("seccomp",),
    "apparmor": ("apparmor",),
    "systempaths": ("unmasked_paths",),
    "label": ("selinux_disabled", "selinux"),
}


def clear_security(privileges: Privileges, text: str) -> None:
    """Take one option away, by its name; raises InvalidArgument when it is not there."""
    given = {found.name for found, _ in privileges.ListFields()}
    fields = given.intersection(_SECURITY_FIELDS.get(text.partition("=")[0], ()))
    if not fields:
        raise InvalidArgument(f"--security-opt-rm {text}: the service has no such entry")
    for field in sorted(fields):
        privileges.ClearField(field)
