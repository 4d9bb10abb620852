"""swarmctl from elsewhere: contexts lead to the managers' ports, with the certificate of a person."""

import os
import subprocess
from pathlib import Path

import pytest

from swarm.clock import SystemClock
from swarm.security.certificates import create_root_ca
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from tests.integration.authorization.conftest import Cluster
from tests.integration.operator import ROOT, SWARMCTL

NOBODY = "127.0.0.1:1"


class Person:
    """Somebody with a home of their own, who types swarmctl commands."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def try_(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("SWARMCTL_")}
        return subprocess.run(
            [*SWARMCTL, *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=ROOT,
            env={**environ, "XDG_CONFIG_HOME": str(self._home / "config")},
        )

    def __call__(self, *words: str) -> str:
        done = self.try_(*words)
        assert done.returncode == 0, f"swarmctl {' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def knows(self, name: str, addresses: list[str], who: NodeBundle) -> None:
        """Make a context of certificates in files."""
        files = {"ca": who.root_ca_pem, "cert": who.cert_pem, "key": who.key_pem}
        words = []
        for option, pem in files.items():
            (self._home / f"{option}.pem").write_bytes(pem)
            words += [f"--{option}", str(self._home / f"{option}.pem")]
        self("context", "create", name, "--host", f"tcp://{','.join(addresses)}", *words)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def test_an_operator_changes_the_cluster_from_elsewhere_by_the_first_manager_that_answers(
    cluster: Cluster, person: Person
) -> None:
    follower = next(name for name in cluster.managers if name != cluster.leader())
    addresses = [NOBODY, cluster.managers[follower].addr]
    person.knows("shop", addresses, cluster.certificate(Role.OPERATOR, "ann"))
    person("context", "use", "shop")
    person("config", "create", "from-afar", str(ROOT / "README.md"))
    assert person("config", "ls", "--format", "{{.Name}}") == "from-afar"
    assert len(person("node", "ls", "-q").splitlines()) == 3
    person("config", "rm", "from-afar")
    refused = person.try_("info")
    assert refused.returncode == 1
    assert "--host ssh://root@HOST" in refused.stderr


def test_a_viewer_reads_and_is_told_what_is_not_for_viewers(cluster: Cluster, person: Person) -> None:
    at = [cluster.managers["m1"].addr]
    person.knows("look", at, cluster.certificate(Role.VIEWER, "vic"))
    assert len(person("-c", "look", "node", "ls", "-q").splitlines()) == 3
    for words in (["join-token", "worker"], ["config", "create", "x", str(ROOT / "README.md")]):
        refused = person.try_("-c", "look", *words)
        assert refused.returncode == 1
        assert "is not for a viewer" in refused.stderr


def test_who_is_of_another_cluster_gets_nowhere_and_is_told_what_to_do(
    cluster: Cluster, person: Person
) -> None:
    stranger = create_root_ca("another", SystemClock().now_ns())
    forged = cluster.certificate(Role.OPERATOR, "eve", stranger)
    person.knows("eve", [cluster.managers["m1"].addr], forged)
    refused = person.try_("-c", "eve", "node", "ls")
    assert refused.returncode == 1
    assert "does not accept its certificate" in refused.stderr
    # A manager that our root did not sign is not talked to either.
    mine = cluster.certificate(Role.OPERATOR, "ann")
    trusting = NodeBundle(mine.cert_pem, stranger.cert_pem, mine.key_pem)
    person.knows("trusting", [cluster.managers["m1"].addr], trusting)
    refused = person.try_("-c", "trusting", "node", "ls")
    assert refused.returncode == 1
    assert "it is not of the cluster of this context" in refused.stderr
