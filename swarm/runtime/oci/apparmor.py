"""The AppArmor profile of containers that ask for none, where the kernel has AppArmor. Blocks."""

import subprocess
from pathlib import Path

from swarm.runtime.oci.binaries import SEARCH_PATH, find

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
LOADED = Path("/sys/kernel/security/apparmor/profiles")
DEFAULT = "swarm-default"
UNCONFINED = "unconfined"
_PARSER = "apparmor_parser"
_TIMEOUT_S = 20.0

# What capabilities and the list of system calls decide is left to them. This is the second lock on files
# that change the node, also where somebody unmasked or mounted them again.
PROFILE = f"""
profile {DEFAULT} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  mount,
  remount,
  umount,
  pivot_root,
  unix,
  dbus,
  signal (receive) peer={{unconfined,crun,runc}},
  signal (send,receive) peer={DEFAULT},
  ptrace (readby,tracedby) peer={{unconfined,crun,runc}},
  ptrace peer={DEFAULT},

  deny /proc/{{kcore,kmem,mem,sysrq-trigger}} rwklx,
  deny /proc/sys/kernel/{{core_pattern,modprobe,hotplug,poweroff_cmd,usermodehelper/**}} w,
  deny /proc/sys/{{vm,dev,debug,abi}}/** w,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/kernel/{{debug,tracing}}/** rwklx,
  deny /sys/{{module,bus,class,devices,power,fs/bpf}}/** w,
}}
"""


def loaded_profiles() -> frozenset[str] | None:
    """Return the names of the profiles that the kernel has, None where AppArmor is not active."""
    try:
        if not ENABLED.read_text("ascii").startswith("Y"):
            return None
        lines = LOADED.read_text("utf-8").splitlines()
    except OSError:
        return None
    return frozenset(line.rpartition(" (")[0] for line in lines)


def load_default() -> str:
    """Give the kernel our profile if it has none of that name; return why that was impossible, if so."""
    profiles = loaded_profiles()
    if profiles is None or DEFAULT in profiles:
        return ""
    parser = find(_PARSER)
    if parser is None:
        return f"{_PARSER} is not installed: apt-get install apparmor"
    try:
        loading = subprocess.run(
            # The cache of compiled profiles is the distribution's.
            (parser, "--skip-cache", "--replace"),
            input=PROFILE.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": SEARCH_PATH},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{_PARSER}: {error}"
    return loading.stderr.decode("utf-8", "replace").strip()[-300:] if loading.returncode else ""
