# SPDX-License-Identifier: MIT
"""Builds that cannot load schedulers are recognised by their own description of the kernel's functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.machine.vm import kernels, vmlinux
from autotune.schedext.btf import members, unresolvable
from tests.support import btf_files

NAMES = st.from_regex(r"(scx_bpf|bpf)_[a-z]{1,8}", fullmatch=True)


def test_a_function_with_a_visible_aux_and_no_twin_cannot_be_called() -> None:
    assert unresolvable(btf_files.elf(btf_files.btf(btf_files.BROKEN))) == ("scx_bpf_kick_cpu",)


def test_a_description_alone_is_read_too() -> None:
    """As the running kernel shows its own."""
    assert unresolvable(btf_files.btf(btf_files.BROKEN)) == ("scx_bpf_kick_cpu",)
    assert unresolvable(btf_files.btf(btf_files.GOOD)) == ()


@pytest.mark.parametrize(
    "functions",
    [
        btf_files.GOOD,
        {"scx_bpf_kick_cpu": ("cpu", "flags")},
        {"scx_bpf_kick_cpu": ("cpu", "aux__prog")},
        {"scx_bpf_kick_cpu": ("aux", "cpu")},
        {"scx_prog_sched": ("aux",), "scx_bpf_kick_cpu": ()},
        {"scx_bpf_kick_cpu": ("cpu", "aux"), "scx_bpf_kick_cpu_impl": ("cpu", "aux")},
    ],
    ids=[
        "a twin has it",
        "before implicit arguments",
        "explicit",
        "not the last",
        "a helper of the kernel's own",
        "both",
    ],
)
def test_functions_that_can_be_called_are_not_named(functions: btf_files.Functions) -> None:
    assert unresolvable(btf_files.elf(btf_files.btf(functions))) == ()


@given(st.dictionaries(NAMES, st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_exactly_the_schedulers_functions_without_a_twin_are_named(each: dict[str, tuple[bool, bool]]) -> None:
    functions: dict[str, tuple[str, ...]] = {}
    for name, (shows_aux, has_twin) in each.items():
        functions[name] = ("p", "aux") if shows_aux else ("p",)
        if has_twin:
            functions[f"{name}_impl"] = ("p", "aux")
    wanted = {name for name, said in each.items() if said == (True, False) and name.startswith("scx_bpf_")}
    assert set(unresolvable(btf_files.elf(btf_files.btf(functions))) or ()) == wanted


@given(st.binary(max_size=400), st.integers(0, 1000))
def test_what_cannot_be_read_says_nothing_and_harms_nobody(noise: bytes, cut: int) -> None:
    whole = btf_files.elf(btf_files.btf(btf_files.BROKEN))
    for data in (
        noise,
        whole[:cut],
        b"\x7fELF\x02\x01" + noise,
        btf_files.elf(noise),
        btf_files.elf(b"\x9f\xeb" + noise),
    ):
        answer = unresolvable(data)
        assert answer is None or answer in ((), ("scx_bpf_kick_cpu",))


@pytest.mark.vm
def test_the_kernel_that_the_micro_vm_boots_can_load_schedulers() -> None:
    assert unresolvable(vmlinux.unpack(kernels.find(None).image.read_bytes()) or b"") == ()


# --- members of a structure --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x02\x01", btf_files.elf(btf_files.btf(btf_files.GOOD))])
def test_a_structure_that_is_not_described_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="does not describe sched_ext_ops"):
        members(content, "sched_ext_ops")
