"""What a person sees at a terminal: pictures that are drawn again, words that the shell completes."""

import os
import sys
from pathlib import Path

from swarm.dev.cluster import DevCluster
from tests.integration.containers.conftest import command, keyboard

ALTERNATE_SCREEN, ORDINARY_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
INTERRUPTED = 130


def test_top_draws_the_cluster_and_gives_the_screen_back(cluster: DevCluster) -> None:
    terminal = ["env", "TERM=xterm-256color"]
    with keyboard([*terminal, *command(cluster, "top", "--interval", "0.3")]) as person:
        person.sees(ALTERNATE_SCREEN)
        person.sees(b"web.")
        for word in (b"NODE", b"worker-2", b"SERVICE", b"TASK", b"5 running"):
            person.sees(word)
        person.types(b"\x03")
        person.sees(ORDINARY_SCREEN)
        assert person.ends() == INTERRUPTED


def test_an_update_shows_how_far_it_is_on_lines_that_are_drawn_again(cluster: DevCluster) -> None:
    update = ("service", "update", "--env-add", "SEEN=1", "--update-monitor", "0s", "web")
    with keyboard(["env", "TERM=xterm", *command(cluster, *update)]) as person:
        person.sees(b"\x1b[1A\x1b[2K", timeout_s=60)  # up, and away with what stood there
        person.sees(b"converged", timeout_s=60)
        assert person.ends() == 0


def test_bash_completes_commands_options_and_names_of_the_cluster(cluster: DevCluster) -> None:
    socket = f"unix://{cluster.node('manager-2').socket}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = [
        "env",
        f"PATH={path}",
        f"SWARMCTL_HOST={socket}",
        "PS1=> ",
        "bash",
        "--norc",
        "--noprofile",
        "-i",
    ]
    with keyboard(shell) as person:
        person.types(b'source <(swarmctl completion bash); echo rea""dy\n')
        person.sees(b"ready")
        for typed, completed in (
            (b"swarmctl serv\t", b"swarmctl service "),
            (b"swarmctl service create --replicas-max-\t", b"--replicas-max-per-node "),
            (b"swarmctl service rm w\t", b"swarmctl service rm web "),
            (b"swarmctl node inspect worker-\t\t", b"worker-1"),
        ):
            person.screen = b""
            person.types(typed)
            person.sees(completed)
            person.types(b"\x15")  # away with the line
        person.types(b"exit\n")
        assert person.ends() == 0
