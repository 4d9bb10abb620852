"""The same containers on a machine that has only cgroup version 2, here made of a private mount namespace.

Controllers stay with version 1 when the machine itself uses that; so limits are skipped, all else is real:
paths, cgroup.kill, counters, device rules, the cgroup namespace.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm.runtime.oci.cgroups import read_layout

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
FILES = (
    *("conformance/test_life.py", "conformance/test_options.py", "test_containers.py"),
    *("test_options.py", "test_own_users.py"),
)
# The starter makes its cgroups itself; all else that it does is the same with version 1.
WHICH = "oci-runc or (oci-starter and (own_users or confined or privileged or shim))"


@pytest.mark.timeout(1500)  # some forty tests in one
def test_containers_run_with_nothing_but_cgroup_version_2(tmp_path: Path) -> None:
    if read_layout().version == 2:
        pytest.skip("this machine has nothing else anyway")
    script = 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    # crun insists on raising a limit there, for which not every root has the capability.
    result = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
            *(sys.executable, "-m", "pytest", "-q", "-k", WHICH, "-p", "no:cacheprovider"),
            f"--basetemp={tmp_path / 'inside'}",
            *(str(HERE / name) for name in FILES),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]
    assert " passed" in result.stdout
