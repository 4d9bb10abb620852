import errno

from swarm.runtime.oci.seccomp import default_profile


def test_nothing_is_both_allowed_and_refused() -> None:
    profile = default_profile("x86_64")
    assert profile is not None
    allowed, *conditional, refused = profile["syscalls"]
    assert set(allowed["names"]).isdisjoint(refused["names"])
    assert len(allowed["names"]) == len(set(allowed["names"]))
    for rule in conditional:
        assert set(rule["names"]).isdisjoint({*allowed["names"], *refused["names"]})


def test_the_unknown_does_not_exist_and_the_dangerous_is_forbidden() -> None:
    profile = default_profile("aarch64")
    assert profile is not None
    assert profile["defaultErrnoRet"] == errno.ENOSYS
    assert profile["architectures"] == ["SCMP_ARCH_AARCH64"]
    refused = profile["syscalls"][-1]
    assert refused["errnoRet"] == errno.EPERM
    assert {"mount", "bpf", "unshare", "setns", "kexec_load", "init_module", "reboot"} <= set(
        refused["names"]
    )


def test_namespaces_cannot_be_made_by_clone() -> None:
    profile = default_profile("x86_64")
    assert profile is not None
    (clone,) = (rule for rule in profile["syscalls"] if rule["names"] == ["clone"])
    (argument,) = clone["args"]
    new_user, new_net, new_pid, new_mount = 0x10000000, 0x40000000, 0x20000000, 0x20000
    for flag in (new_user, new_net, new_pid, new_mount):
        assert flag & argument["value"] != argument["valueTwo"]
    assert not any("clone3" in rule["names"] for rule in profile["syscalls"])


def test_an_architecture_that_nobody_looked_at_has_none() -> None:
    assert default_profile("vax") is None
