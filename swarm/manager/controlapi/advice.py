"""What can a person do about a task that does not run? Pure: the words of its reason decide."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.model import task_state


@dataclass(frozen=True, slots=True)
class Rule:
    """Advice for reasons that a pattern finds."""

    pattern: re.Pattern[str]
    text: Callable[[Task], str]


def _service(task: Task) -> str:
    return task.service_annotations.name or task.service_id


def _image(task: Task) -> str:
    """Return the image that could not be had: one that it mounts, perhaps."""
    named = re.search(r'cannot get image "([^"]+)"', task.status.err)
    return named.group(1) if named else task.spec.container.image


def _rule(pattern: str, text: Callable[[Task], str]) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), text)


_RULES: Sequence[Rule] = (
    _rule(
        r"constraint|is not met",
        lambda task: (
            "give a node what is asked for (swarmctl node update --label-add KEY=VALUE NODE), or ask for "
            f"less (swarmctl service update --constraint-rm CONSTRAINT {_service(task)})"
        ),
    ),
    _rule(
        r"no device |the device .* is in use|CDI specification",
        lambda task: (
            "see which devices the nodes have (swarmctl node inspect NODE) and which tasks have them, or "
            "ask for others (swarmctl service update --gpus N --device-rm DEVICE --device-add DEVICE "
            f"{_service(task)})"
        ),
    ),
    _rule(
        r"(secret|config) \S+ (is not yet on|does not exist)|placeholder",
        lambda task: (
            "what is not there yet comes as soon as the node reaches a manager (swarmctl node ls); what is "
            "gone, or has a placeholder that means nothing, needs another (swarmctl service update "
            f"--secret-rm OLD --secret-add source=NEW,target=OLD {_service(task)})"
        ),
    ),
    _rule(
        r"volume \S+ is not (made yet|reachable)|waiting for volume \S+$|did not come to this node",
        lambda task: (
            "see what its plugin lacks (swarmctl volume ls --cluster, swarmctl volume inspect VOLUME), and "
            "that it runs on the nodes (swarmctl node inspect NODE)"
        ),
    ),
    _rule(
        r"the volume plugin (\S+$|\S+ does not answer)|no volume plugin",
        lambda task: (
            f"see that the plugin runs on that node ({task.node_id}) and what it logs; tasks that "
            "want none of its volumes start there meanwhile"
        ),
    ),
    _rule(
        r"insufficient resources|needs .* free",
        lambda task: (
            "add a node, remove what is not needed, or reserve less (swarmctl service update "
            f"--reserve-memory SIZE --reserve-cpu NUMBER {_service(task)})"
        ),
    ),
    _rule(
        r"was preempted by",
        lambda task: (
            "add a node, or let it not be pushed out by a priority as high as that of the other service "
            f"(swarmctl service update --priority NUMBER {_service(task)})"
        ),
    ),
    _rule(
        r"not available for new tasks|is paused|is drained",
        lambda task: (
            "look at the nodes (swarmctl node ls); a drained or paused one takes tasks again after "
            "swarmctl node update --availability active NODE"
        ),
    ),
    _rule(
        r"no \S+ networks",
        lambda task: (
            "update the nodes' agents (swarmctl node inspect NODE shows in Runtime.network_drivers what "
            "they can do), or leave the network (swarmctl service update --network-rm NAME "
            f"{_service(task)})"
        ),
    ),
    _rule(
        r"network \S+ has no free address|of network \S+ is still that of",
        lambda task: (
            "see who has the addresses (swarmctl network inspect -v NAME); a task that ends frees its own, "
            "and this one then starts by itself"
        ),
    ),
    _rule(
        r"host-mode port|port \S+ is (already|taken)|address already in use",
        lambda task: (
            "publish another port, free the one that is taken, or run fewer tasks than there are nodes"
        ),
    ),
    _rule(
        r"max replicas per node|are allowed on one node",
        lambda task: (
            f"add a node, or allow more (swarmctl service update --replicas-max-per-node N {_service(task)})"
        ),
    ),
    _rule(
        r"unsupported platform|another processor",
        lambda task: (
            "use an image that is also built for the platform of your nodes (swarmctl node inspect NODE)"
        ),
    ),
    _rule(
        r"answered 429",
        lambda task: (
            "the registry wants fewer requests: log in there and use --with-registry-auth, pull the image "
            f"into the cluster once (swarmctl image pull {_image(task)}), or name a mirror "
            "(swarmd --registry-mirror)"
        ),
    ),
    _rule(
        r"cannot get image|no such image|cannot pull",
        lambda task: (
            f"check the name {_image(task)} and that the nodes reach its registry; a private "
            f"one needs swarmctl service update --with-registry-auth {_service(task)}, an image of your own "
            "swarmctl image load"
        ),
    ),
    _rule(
        r"unable to find (user|group)",
        lambda task: (
            "name a user that the image has, or a number (swarmctl service update --user USER "
            f"{_service(task)})"
        ),
    ),
    _rule(
        r"bind source path",
        lambda task: "create that path on the node, or put the task onto a node that has it by a constraint",
    ),
    _rule(
        r"an init process was asked for",
        lambda task: (
            f"install tini on the node, or do without (swarmctl service update --no-init {_service(task)})"
        ),
    ),
    _rule(
        r"this node's kernel cannot|on this node: it has|no cgroup |AppArmor|does not have it to give"
        r"|would change the node|needs containers",
        lambda task: (
            "take that option away (swarmctl service update --help), or put the task onto nodes that can do "
            f"it (swarmctl service update --constraint-add CONSTRAINT {_service(task)})"
        ),
    ),
    _rule(
        r"out of memory|no memory left",
        lambda task: (
            f"allow more memory (swarmctl service update --limit-memory SIZE {_service(task)}), or find out "
            f"why so much is used (swarmctl service logs {task.id})"
        ),
    ),
    _rule(
        r"command was not found|could not be run|exec: ",
        lambda task: (
            "check the command: the image's own is used unless --entrypoint or arguments replace it "
            f"(swarmctl service inspect {_service(task)})"
        ),
    ),
    _rule(
        r"is down|not part of the cluster|not heard of",
        lambda task: (
            "look at the node (swarmctl node ls); one that will not come back is removed with "
            "swarmctl node rm --force NODE. Its tasks are replaced elsewhere meanwhile"
        ),
    ),
    _rule(
        r"restart delay",
        lambda task: (
            f"see why the task before it ended (swarmctl task history {task.id}, swarmctl service logs "
            f"{_service(task)})"
        ),
    ),
    _rule(
        r"waits for service .* to be",
        lambda task: (
            "see why that service is not there yet (swarmctl service why NAME); to wait no longer: "
            f"swarmctl service update --depends-on-rm NAME {_service(task)}"
        ),
    ),
    _rule(r"without a leader", lambda task: "see whether there is a leader (swarmctl node ls)"),
)


def advice(task: Task, reason: str, *, more: Sequence[str] = ()) -> list[str]:
    """Return what to do about `reason`, and about `more` of them; nothing where all is well."""
    if not reason or task.status.state in (task_state.COMPLETE, task_state.SHUTDOWN):
        return []
    found = [
        rule.text(task) for rule in _RULES if any(rule.pattern.search(text) for text in (reason, *more))
    ]
    if task.status.state == task_state.FAILED and not any("service logs" in text for text in found):
        found.append(f"read what it wrote (swarmctl service logs {task.id})")
    return found
