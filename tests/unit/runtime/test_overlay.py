import pytest

from swarm.runtime.oci.overlay import overlay_options


def test_options() -> None:
    assert overlay_options(["/a", "/b"], "/u", "/w") == "lowerdir=/a:/b,upperdir=/u,workdir=/w"


@pytest.mark.parametrize("name", ["/a:b", "/a,b", "/a\\b"])
def test_names_that_the_kernel_would_split(name: str) -> None:
    assert overlay_options([name], "/u", "/w") is None
    assert overlay_options(["/a"], name, "/w") is None


def test_too_many_layers_for_one_page() -> None:
    assert overlay_options([f"/var/lib/layers/{number:064d}" for number in range(100)], "/u", "/w") is None
    assert overlay_options([f"/proc/self/fd/{number}" for number in range(200)], "/u", "/w") is not None
