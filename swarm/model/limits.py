"""Every limit of what the cluster keeps: its name, its value, and why it is what it is.

sizes.py checks specs against them, the store counts its objects, and what agents say is cut to them
(truncate.py). A refusal names the limit. docs/limits.md has the same table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SHOWN_CHARACTERS = 40  # of a name or value that is too long, in an error


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that is accepted of something."""

    name: str
    value: int
    unit: str
    reason: str

    def exceeded(self, what: str, amount: int) -> Iterator[str]:
        """Yield the problem when `amount` is over the limit, e.g. `label x: 300 bytes; the limit is …`."""
        if amount > self.value:
            yield f"{what}: {amount} {self.unit}; the limit is {self.value} ({self.name})"


def shown(text: str) -> str:
    """Return the beginning of a text that may be too long for an error."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


# Names and labels.
NAME_CHARACTERS = Limit("NAME_CHARACTERS", 63, "characters", "a service's name becomes a DNS label")
LABELS = Limit("LABELS", 256, "labels", "each is looked at by every filter and constraint")
LABEL_KEY_BYTES = Limit("LABEL_KEY_BYTES", 256, "bytes", "a key is a name, not a document")
LABEL_VALUE_BYTES = Limit("LABEL_VALUE_BYTES", 16 * 1024, "bytes", "room for a proxy's rule, not a file")
LABELS_BYTES = Limit("LABELS_BYTES", 64 * 1024, "bytes", "every task carries the labels of its service")

# Specs.
LOG_FILE_BYTES = Limit("LOG_FILE_BYTES", 1024**3, "bytes", "a reader of the last lines goes through a file")
LOG_FILES = Limit("LOG_FILES", 100, "files", "each is renamed whenever a new one is begun")
LOG_ATTRIBUTES = Limit("LOG_ATTRIBUTES", 100, "names", "they are told with every line")
SPEC_BYTES = Limit("SPEC_BYTES", 1024 * 1024, "bytes", "every task carries a copy of its spec")
IMAGE_CHARACTERS = Limit("IMAGE_CHARACTERS", 255, "characters", "with its registry, as registries have it")
HOSTNAME_CHARACTERS = Limit("HOSTNAME_CHARACTERS", 63, "characters", "the kernel takes 64 bytes, DNS 63")
TEXT_BYTES = Limit("TEXT_BYTES", 4095, "bytes", "the longest path that the kernel takes")
ENV_VARIABLES = Limit("ENV_VARIABLES", 1024, "variables", "more is a file, to be mounted")
ENV_VARIABLE_BYTES = Limit(
    "ENV_VARIABLE_BYTES", 131_071, "bytes", "the kernel starts no program with a longer one"
)
ARGUMENTS = Limit("ARGUMENTS", 1024, "arguments", "command and arguments together; more is a file")
ARGUMENT_BYTES = Limit("ARGUMENT_BYTES", 131_071, "bytes", "no program starts with a longer one")
MOUNTS = Limit("MOUNTS", 128, "mounts", "each is made again at every start of the container")
REFERENCES = Limit("REFERENCES", 256, "secrets and configs", "each is a file, made at every start")
DEVICES = Limit("DEVICES", 128, "devices", "of one container; each becomes a file in it")
GROUPS = Limit("GROUPS", 256, "groups", "each is looked up in the image at every start")
HOSTS = Limit("HOSTS", 512, "host names", "programs read /etc/hosts at every look-up; more is a name server")
DNS_ENTRIES = Limit("DNS_ENTRIES", 32, "entries", "programs look at the first few of resolv.conf")
SYSCTLS = Limit("SYSCTLS", 128, "kernel parameters", "each is written at every start of the container")
SECCOMP_PROFILE_BYTES = Limit(
    "SECCOMP_PROFILE_BYTES", 128 * 1024, "bytes", "every task carries it; that of Docker has 15,000"
)
VOLUME_NAME_CHARACTERS = Limit(
    "VOLUME_NAME_CHARACTERS", 200, "characters", "the name becomes that of a folder"
)
CSI_VOLUME_NAME_CHARACTERS = Limit(
    "CSI_VOLUME_NAME_CHARACTERS", 100, "characters", "a cluster volume's; plugins take 128 with our id"
)
VOLUME_ENTRIES = Limit("VOLUME_ENTRIES", 128, "entries", "labels or options of one volume")
ROUTES = Limit("ROUTES", 256, "routes", "each is a part of the configuration of every HTTP proxy")
ROUTE_PATH_CHARACTERS = Limit("ROUTE_PATH_CHARACTERS", 1024, "characters", "it is compared at each request")
ACME_HOSTS = Limit(
    "ACME_HOSTS", 500, "hosts", "with certificates by ACME; all of it is in the cluster object"
)
ACME_ORDERS = Limit("ACME_ORDERS", 5, "orders", "under way at once, so that no ACME server is flooded")
ACME_TEXT_CHARACTERS = Limit(
    "ACME_TEXT_CHARACTERS", 1024, "characters", "email or URL; every manager has it"
)
ACME_CA_BYTES = Limit("ACME_CA_BYTES", 64 * 1024, "bytes", "one CA, not the bundle of a system")
PORTS = Limit("PORTS", 1024, "ports", "each is a packet filter rule on every node with a task")
ATTACHMENTS = Limit("ATTACHMENTS", 32, "networks", "each is a link of every container")
ALIASES = Limit("ALIASES", 32, "aliases", "each is a name that is looked up on every node")
CONSTRAINTS = Limit("CONSTRAINTS", 64, "constraints", "each is asked of every node")
CONSTRAINT_BYTES = Limit("CONSTRAINT_BYTES", 4096, "bytes", "room for a list of values")
CONSTRAINT_VALUES = Limit("CONSTRAINT_VALUES", 64, "values", "each is compared with every node")
PATTERN_CHARACTERS = Limit("PATTERN_CHARACTERS", 256, "characters", "compiled it is far larger")
PREFERENCES = Limit("PREFERENCES", 8, "levels", "the tasks are spread once for each level and branch")
PLATFORMS = Limit("PLATFORMS", 64, "platforms", "no image is built for more")
DEPENDENCIES = Limit("DEPENDENCIES", 64, "services", "each is looked at whenever something changes")
PRIORITY = Limit("PRIORITY", 1000, "steps above or below 0", "so many kinds of urgency nobody tells apart")
SCALE_RULES = Limit("SCALE_RULES", 8, "rules", "each is asked every few seconds")
QUERY_BYTES = Limit("QUERY_BYTES", 4096, "bytes", "room for a long PromQL expression")
EXTERNAL_CAS = Limit("EXTERNAL_CAS", 8, "external CAs", "they are asked one after the other")
PLAIN_NAME_CHARACTERS = Limit("PLAIN_NAME_CHARACTERS", 128, "characters", "people have to type it")

# Secrets and configs.
DATA_NAME_CHARACTERS = Limit("DATA_NAME_CHARACTERS", 64, "characters", "as in Docker, so that they can move")
SECRET_BYTES = Limit("SECRET_BYTES", 500 * 1024, "bytes", "a key or a certificate chain, not a key store")
CONFIG_BYTES = Limit("CONFIG_BYTES", 1000 * 1024, "bytes", "every manager has it in memory")
DATA_VERSIONS = Limit(
    "DATA_VERSIONS", 10, "old versions", "of one secret or config, only to go back to by hand"
)
DRIVER_OPTIONS = Limit("DRIVER_OPTIONS", 64, "options", "of a secret's driver: where it is, not what it is")
EXPANDED_BYTES = Limit("EXPANDED_BYTES", 2 * 1024 * 1024, "bytes", "what a template may grow to on a node")

# Networks.
NETWORK_OPTIONS = Limit("NETWORK_OPTIONS", 64, "options", "of one network, or of one service in it")
RESERVED_ADDRESSES = Limit("RESERVED_ADDRESSES", 64, "addresses", "more is a range: --ip-range")
ADDRESS_POOLS = Limit("ADDRESS_POOLS", 64, "pools", "each is searched for a free subnet")

# The cluster as a whole.
REPLICAS = Limit("REPLICAS", 100_000, "replicas", "a slip of the keyboard must do no harm")
TASKS = Limit("TASKS", 200_000, "tasks", "of all services: what fits into memory with their history")
SERVICES = Limit("SERVICES", 10_000, "services", "a new leader looks at each at once")
NODES = Limit("NODES", 10_000, "nodes", "the most that the scheduler is measured with")
IMAGES = Limit("IMAGES", 10_000, "images", "every manager keeps all of them on its disk")
SECRETS = Limit("SECRETS", 10_000, "secrets", "their names are compared at every request")
CONFIGS = Limit("CONFIGS", 10_000, "configs", "their names are compared at every request")
VOLUMES = Limit("VOLUMES", 10_000, "volumes", "cluster volumes: a new leader looks at each at once")
NETWORKS = Limit("NETWORKS", 10_000, "networks", "a new one must overlap none of them")
STACKS = Limit("STACKS", 10_000, "stacks", "each has its history in memory")
USERS = Limit("USERS", 1_000, "users", "people with certificates; more is a directory's task")
USER_SCOPE = Limit("USER_SCOPE", 64, "labels", "each is looked at for every object of every list")
AUDIT_FILE_BYTES = Limit("AUDIT_FILE_BYTES", 4 * 1024 * 1024, "bytes", "then the next file is begun")
AUDIT_FILES = Limit("AUDIT_FILES", 4, "files", "the oldest goes: a manager's audit trail takes 16 MiB")
AUDIT_WAITING = Limit("AUDIT_WAITING", 4096, "records", "in memory while the disk takes none; then counted")
AUDIT_TEXT_CHARACTERS = Limit(
    "AUDIT_TEXT_CHARACTERS", 300, "characters", "of a name or reason; names have to be found again"
)
STACK_REVISIONS = Limit(
    "STACK_REVISIONS", 10, "deploys", "of one stack, to go back to; older ones are forgotten"
)
STACK_HISTORY_BYTES = Limit(
    "STACK_HISTORY_BYTES", 1024 * 1024, "bytes", "of one stack: it is written with every deploy"
)
DATA_BYTES = Limit(
    "DATA_BYTES", 256 * 1024 * 1024, "bytes", "all secrets and configs: managers have them in memory"
)
TRANSACTION_BYTES = Limit("TRANSACTION_BYTES", 4 * 1024 * 1024, "bytes", "Raft sends it in one message")

# Compose files, read by swarmctl.
CHANGES = Limit(
    "CHANGES", 500, "changes", "in one request, as of a deploy: nobody else has a turn meanwhile"
)
COMPOSE_FILE_BYTES = Limit("COMPOSE_FILE_BYTES", 1024 * 1024, "bytes", "of one file; people write less")
COMPOSE_VALUES = Limit("COMPOSE_VALUES", 100_000, "values", "aliases of aliases grow without end")
COMPOSE_FILES = Limit("COMPOSE_FILES", 100, "files", "with all that include and extends name")

# What agents say: cut, never refused, for the task or node it is about exists anyway.
STATUS_CHARACTERS = Limit("STATUS_CHARACTERS", 2000, "characters", "people read the first line of an error")
TASK_STATES = Limit("TASK_STATES", 16, "states", "kept as the history of a task; a life has at most 10")
HEALTH_PROBES = Limit("HEALTH_PROBES", 5, "probes", "of one task: the last ones, as Docker keeps them")
HEALTH_OUTPUT_CHARACTERS = Limit(
    "HEALTH_OUTPUT_CHARACTERS", 512, "characters", "of one probe: an error, not a page"
)
DESCRIPTION_TEXT_CHARACTERS = Limit(
    "DESCRIPTION_TEXT_CHARACTERS", 256, "characters", "names, versions and labels of a node's machine"
)
DESCRIPTION_ENTRIES = Limit("DESCRIPTION_ENTRIES", 256, "entries", "engine labels, runtime facts")
PLAIN_CONTAINERS = Limit("PLAIN_CONTAINERS", 10_000, "plain containers", "of one node; more is a service")
CSI_PLUGINS = Limit("CSI_PLUGINS", 64, "plugins", "storage plugins of one node: each is asked all the time")
NODE_DEVICES = Limit("NODE_DEVICES", 1024, "devices", "of one node, by all their names")

ALL = tuple(one for one in tuple(globals().values()) if isinstance(one, Limit))
