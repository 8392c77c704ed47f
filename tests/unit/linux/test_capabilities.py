"""Verifies names, bits and the order in which capability sets are put on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sampan.linux import capabilities
from sampan.linux import constants as c
from sampan.linux.capabilities import CapabilitySets
from tests.fakes.kernel import RecordingKernel


def test_numbers_are_the_kernels() -> None:
    # <linux/capability.h>
    known = {"CAP_CHOWN": 0, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: capabilities.BITS[name] for name in known} == known
    assert len(capabilities.NAMES) == 41


def test_names_and_masks_are_inverse() -> None:
    names = {"CAP_KILL", "CAP_BPF"}
    assert capabilities.mask(names) == 1 << 5 | 1 << 39
    assert capabilities.names(capabilities.mask(names)) == names
    assert capabilities.names((1 << 64) - 1) == set(capabilities.NAMES)
    with pytest.raises(ValueError, match="unknown capability 'CAP_FLY'"):
        capabilities.mask(["CAP_FLY"])


def test_held_is_what_is_both_bounded_and_permitted(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Name:\tx\nCapInh:\t0\nCapPrm:\t0000000000000007\nCapBnd:\t000000000000000e\n"
    )
    assert capabilities.held_mask(str(status)) == 6
    assert capabilities.held() == capabilities.names(capabilities.held_mask())


def test_the_bounding_set_loses_all_others_up_to_the_kernels_last() -> None:
    end = OSError(errno.EINVAL, "no such capability")
    fake = RecordingKernel(errors={("prctl", 43): end})
    capabilities.drop_bounding(fake.kernel, 0b101)
    dropped = [arguments[1] for _, arguments in fake.calls]
    # 43 calls went well: what the kernel has beyond our table is dropped too.
    assert dropped == [1, *range(3, 46)]
    assert {arguments[0] for _, arguments in fake.calls} == {c.PR_CAPBSET_DROP}


def test_a_refusal_to_drop_is_an_error() -> None:
    fake = RecordingKernel(errors={("prctl", 0): OSError(errno.EPERM, "not permitted")})
    with pytest.raises(OSError, match="not permitted"):
        capabilities.drop_bounding(fake.kernel, 0)


def test_sets_are_put_on_in_the_order_that_the_kernel_takes() -> None:
    fake = RecordingKernel()
    sets = CapabilitySets(bounding=15, effective=3, inheritable=5, permitted=7, ambient=5)
    capabilities.apply(fake.kernel, sets, extra=16)
    assert fake.calls == [
        ("prctl", (c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL)),
        ("capset", ((3 | 16, 7 | 16, 5),)),
        ("prctl", (c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, 0)),
        ("prctl", (c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, 2)),
    ]
