import pytest

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.runtime.select import choose_driver


def test_root_with_an_oci_runtime_runs_containers() -> None:
    assert choose_driver("auto", root=True, oci_found=True) == "oci"
    assert choose_driver("oci", root=True, oci_found=True) == "oci"


def test_without_root_there_are_processes() -> None:
    assert choose_driver("auto", root=False, oci_found=True) == "process"
    assert choose_driver("process", root=True, oci_found=True) == "process"


def test_root_never_loses_isolation_unasked() -> None:
    assert choose_driver("auto", root=True, oci_found=False) == "oci"  # which brings a runtime of its own
    assert choose_driver("starter", root=True, oci_found=True) == "starter"
    with pytest.raises(FailedPrecondition, match="apt-get install crun conmon"):
        choose_driver("oci", root=True, oci_found=False)
    with pytest.raises(FailedPrecondition, match="root"):
        choose_driver("starter", root=False, oci_found=False)
    with pytest.raises(FailedPrecondition, match="root"):
        choose_driver("oci", root=False, oci_found=True)
    with pytest.raises(InvalidArgument, match="docker"):
        choose_driver("docker", root=True, oci_found=True)
