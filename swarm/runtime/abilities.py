"""What not every driver can do: each ability has a word, which nodes tell and tasks ask for."""

from enum import StrEnum


class Ability(StrEnum):
    """Something of a ContainerConfig, or of this contract, that not every driver can do."""

    MOUNTS = "mounts"  # paths of the node, and volumes, anywhere in the container
    PARTS = "parts"  # images, and parts of volumes, mounted in a container
    TMPFS = "tmpfs"
    READ_ONLY = "read-only"  # the root of its file system
    COPY = "copy"  # path_kind, copy_from, copy_to
    NETWORK = "network"  # the namespace that it is given
    HOSTNAME = "hostname"
    HOSTS = "hosts"
    DNS = "dns"
    USER = "user"
    GROUPS = "groups"
    TTY = "tty"  # for the container's own process; commands always can have one
    INIT = "init"
    PAUSE = "pause"
    MEMORY = "memory"
    OOM = "oom"  # tells that processes were killed for want of memory
    CPUS = "cpus"
    PIDS = "pids"
    CPUSET = "cpuset"
    CPU_SHARES = "cpu-shares"
    CGROUP_PARENT = "cgroup-parent"
    DEVICES = "devices"
    CDI = "cdi"
    PRIVILEGED = "privileged"
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVILEGES = "no-new-privileges"
    SECCOMP = "seccomp"
    SHARED_NAMESPACES = "shared-namespaces"
    USERS = "users"  # of its own, in a user namespace
    SYSCTLS = "sysctls"
    ULIMITS = "ulimits"
    SHM_SIZE = "shm-size"
    OOM_SCORE = "oom-score"
