"""What may be said of the driver of a secret, and how is its data called on the node of a task?

A secret with a driver has no data in the cluster: the driver is asked for each task.
"""

import re
from collections.abc import Iterator, Mapping

from swarm.api.v1.specs_pb2 import SecretDriver
from swarm.model.limits import DRIVER_OPTIONS, TEXT_BYTES, shown

VAULT = "vault"
VAULT_OPTIONS = {
    "address": "URL of the server, https://vault:8200",
    "path": "of the secret below its mount; placeholders such as {{.Service.Name}} are filled in",
    "mount": "of the KV engine, default secret",
    "kv": "version of the engine, 1 or 2, default 2",
    "field": "which field; default: the only one there is; *: all of them, as JSON",
    "version": "of the data, with kv=2; default: the newest",
    "encoding": "base64: the field is in base64; default: as it is",
    "namespace": "of Vault Enterprise and OpenBao",
    "token-secret": "secret of this cluster that holds a token",
    "role-id": "of an AppRole, instead of a token",
    "secret-id-secret": "secret of this cluster that holds the secret id of the AppRole",
    "approle-mount": "of the AppRole auth method, default approle",
    "ca-config": "config of this cluster with the CA certificates of the server in PEM",
    "reuse": "false: each task is read for anew; default true: an answer is shared for 30 s",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
_ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#{}]*)?")
_SEPARATOR = "."  # in no id


def task_key(secret_id: str, task_id: str) -> str:
    """Return by what id the node of a task knows the data that a driver gave for it."""
    return f"{secret_id}{_SEPARATOR}{task_id}"


def of_task_key(key: str) -> tuple[str, str]:
    """Return the ids of secret and task in what `task_key` returned; without a task for any other id."""
    secret_id, _, task_id = key.partition(_SEPARATOR)
    return secret_id, task_id


def named_data(driver: SecretDriver) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of the secrets and configs of this cluster that a driver is asked with.

    They are what options name that end in -secret and -config; a driver gets no others.
    """
    for key, value in sorted(driver.options.items()):
        for kind in ("secret", "config"):
            if key.endswith(f"-{kind}") and value:
                yield kind, value


def driver_problems(driver: SecretDriver) -> Iterator[str]:
    """Yield what is wrong with a driver as far as it can be told without asking it."""
    if not _NAME.fullmatch(driver.name):
        yield f'"{shown(driver.name)}" is not the name of a driver'
    yield from DRIVER_OPTIONS.exceeded(f"the driver {shown(driver.name)}", len(driver.options))
    for key, value in sorted(driver.options.items()):
        yield from TEXT_BYTES.exceeded(
            f"driver option {shown(key)}", max(len(key.encode()), len(value.encode()))
        )
    for _, name in named_data(driver):
        if "{{" in name:
            yield f"an option that names a secret or config cannot have placeholders: {shown(name)}"
    if driver.name == VAULT:
        yield from _vault_problems(dict(driver.options))


def _vault_problems(options: Mapping[str, str]) -> Iterator[str]:
    known = f"; it has {', '.join(VAULT_OPTIONS)}"
    for key in sorted(options.keys() - VAULT_OPTIONS.keys()):
        hint = "; name a secret that holds it: token-secret=NAME" if "token" in key.lower() else ""
        yield f"vault has no option {shown(key)}{hint or known}"
    if not _ADDRESS.fullmatch(options.get("address", "")):
        yield f'the address "{shown(options.get("address", ""))}" is none such as https://vault:8200'
    if not options.get("path", "").strip("/"):
        yield "say where in Vault it is: the option path"
    yield from _one_of(options, "kv", ("1", "2"))
    yield from _one_of(options, "encoding", ("base64",))
    yield from _one_of(options, "reuse", ("true", "false"))
    version = options.get("version", "1")
    if not re.fullmatch(r"[1-9][0-9]{0,9}", version):
        yield f'the version "{shown(version)}" is no number from 1 on'
    if "version" in options and options.get("kv") == "1":
        yield "the KV engine 1 has no versions"
    yield from _login_problems(options)


def _login_problems(options: Mapping[str, str]) -> Iterator[str]:
    role = [key for key in ("role-id", "secret-id-secret", "approle-mount") if key in options]
    if options.get("token-secret"):
        if role:
            yield f"a token needs no {role[0]}: say one or the other"
    elif not (options.get("role-id") and options.get("secret-id-secret")):
        yield "say token-secret=NAME, or role-id=ID and secret-id-secret=NAME: how to log in"


def _one_of(options: Mapping[str, str], key: str, known: tuple[str, ...]) -> Iterator[str]:
    if key in options and options[key] not in known:
        yield f'{key}="{shown(options[key])}": known are {", ".join(known)}'
