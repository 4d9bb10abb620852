"""Key files: private, replaced in one step, checked when read."""

from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle, load_bundle, save_bundle, write_private

NOW = 1_800_000_000 * 10**9
ROOT = create_root_ca("c", NOW)


def bundle() -> NodeBundle:
    key = new_key_pem()
    cert = issue_node_certificate(
        ROOT, create_csr(key), node_id="n", role=Role.WORKER, cluster_id="c", now_ns=NOW
    )
    return NodeBundle(cert_pem=cert, root_ca_pem=ROOT.cert_pem, key_pem=key)


def test_a_saved_bundle_comes_back_and_is_private(tmp_path: Path) -> None:
    path, saved = tmp_path / "certificates" / "node.pem", bundle()
    save_bundle(path, saved)
    assert load_bundle(path) == saved
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_no_file_is_no_bundle(tmp_path: Path) -> None:
    assert load_bundle(tmp_path / "node.pem") is None


def test_a_leftover_of_a_crash_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    (tmp_path / ".node.pem.new").write_bytes(b"half")
    (tmp_path / ".node.pem.new").chmod(0o644)
    save_bundle(path, bundle())
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.pem"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.mkdir()  # a directory: the rename must fail
    with pytest.raises(OSError):
        write_private(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize("keep", [0, 50, 300, 1000])
def test_a_cut_off_file_is_called_damaged(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "node.pem"
    save_bundle(path, bundle())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FailedPrecondition, match=r"damaged: .*Restore it, or remove it and the node\.json"):
        load_bundle(path)


def test_a_certificate_of_another_key_is_called_damaged(tmp_path: Path) -> None:
    first, second = bundle(), bundle()
    save_bundle(tmp_path / "node.pem", NodeBundle(first.cert_pem, first.root_ca_pem, second.key_pem))
    with pytest.raises(FailedPrecondition, match="not that of the key"):
        load_bundle(tmp_path / "node.pem")
