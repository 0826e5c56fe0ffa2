# SPDX-License-Identifier: MIT
"""Which kernel of the archive is taken, over many archives."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autotune.errors import FetchError
from autotune.machine.vm.archive import parts_in_depends
from autotune.machine.vm.choosing import KNOWN_TO_WORK, OF_A_SERIES, choices, version_key

SERIES = st.sampled_from(
    ["6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3", "7.4", "7.10", "8.0"]
)
FLAVOUR = st.sampled_from(["amd64", "amd64", "amd64", "cloud-amd64", "rt-amd64", "amd64-unsigned", "amd64-dbg"])
IMAGES = st.builds(
    lambda series, patch, flavour: f"linux-image-{series}.{patch}+deb13-{flavour}", SERIES, st.integers(0, 20), FLAVOUR
)
ARCHIVES = st.dictionaries(
    IMAGES,
    st.sampled_from([(), ("linux-binary-1",), ("linux-base-gone",), ("linux-base-1", "linux-binary-1", "gone")]),
    max_size=30,
)
AVAILABLE = ("linux-binary-1", "linux-base-1")


def releases(parts: dict[str, tuple[str, ...]], asked: str | None = None) -> list[str]:
    try:
        return [build.release for build in choices(parts, AVAILABLE, asked)]
    except FetchError:
        return []


def usable(parts: dict[str, tuple[str, ...]]) -> list[str]:
    names = [image.removeprefix("linux-image-") for image, needs in parts.items() if "gone" not in needs]
    plain = [name for name in names if not any(word in name for word in ("cloud", "rt-", "unsigned", "dbg"))]
    return [name for name in plain if version_key(name)[:2] >= (6, 16)]


def series(release: str) -> str:
    return ".".join(release.split(".")[:2])


@given(ARCHIVES)
def test_only_whole_generic_kernels_with_sched_ext_are_chosen_and_one_of_each_series(
    parts: dict[str, tuple[str, ...]],
) -> None:
    chosen = releases(parts)
    assert set(chosen) <= set(usable(parts))
    assert {series(release) for release in chosen} == {series(release) for release in usable(parts)}
    assert all(sum(series(other) == series(release) for other in chosen) <= OF_A_SERIES for release in chosen)


@given(ARCHIVES)
def test_what_is_known_to_work_comes_first_in_its_order_and_the_newest_of_a_series_before_others(
    parts: dict[str, tuple[str, ...]],
) -> None:
    chosen = releases(parts)
    known = [release for release in chosen if series(release) in KNOWN_TO_WORK]
    assert chosen[: len(known)] == known
    assert [KNOWN_TO_WORK.index(series(release)) for release in known] == sorted(
        KNOWN_TO_WORK.index(series(release)) for release in known
    )
    others = [version_key(release)[:3] for release in chosen[len(known) :]]
    assert others == sorted(others, reverse=True)
    for release in {series(release): release for release in reversed(chosen)}.values():
        assert version_key(release) == max(version_key(one) for one in usable(parts) if series(one) == series(release))


@given(ARCHIVES, st.permutations(range(30)))
def test_the_order_of_the_list_does_not_matter(parts: dict[str, tuple[str, ...]], order: list[int]) -> None:
    shuffled = sorted(parts.items(), key=lambda item: order[list(parts).index(item[0])])
    assert releases(dict(shuffled)) == releases(parts)


@given(ARCHIVES)
def test_a_better_kernel_that_leaves_the_archive_makes_room_for_the_next(parts: dict[str, tuple[str, ...]]) -> None:
    chosen = releases(parts)
    assume(len(chosen) > 1)
    left = {image: needs for image, needs in parts.items() if image != f"linux-image-{chosen[0]}"}
    assert releases(left)[0] == chosen[1]


@given(ARCHIVES, st.sampled_from(["6", "6.1", "6.18", "7.1", "7.1.", "7.2.1", "7.2.12"]))
def test_what_is_requested_is_kept_to(parts: dict[str, tuple[str, ...]], asked: str) -> None:
    numbers = asked.rstrip(".").split(".")
    assert all(release.split("+")[0].split(".")[: len(numbers)] == numbers for release in releases(parts, asked))


@given(ARCHIVES)
def test_the_package_that_holds_the_image_comes_first(parts: dict[str, tuple[str, ...]]) -> None:
    assume(usable(parts))
    for build in choices(parts, AVAILABLE):
        image = f"linux-image-{build.release}"
        assert build.packages[0] == ("linux-binary-1" if "linux-binary-1" in parts[image] else image)
        assert set(build.packages) == {image, *parts[image]} - {"linux-base-gone"}


def test_the_archive_of_today() -> None:
    names = ["6.12.95", "6.16.12", "6.17.13", "6.18.12", "6.18.15", "6.19.14", "7.0.13", "7.1.13", "7.2.12", "7.3.4"]
    parts: dict[str, tuple[str, ...]] = {f"linux-image-{name}+deb13-amd64": () for name in names}
    order = ["6.18.15", "6.18.12", "7.3.4", "6.19.14", "7.0.13", "6.17.13", "6.16.12", "7.2.12", "7.1.13"]
    assert releases(parts) == [f"{name}+deb13-amd64" for name in order]


def test_a_base_package_that_the_archive_lacks_is_not_requested() -> None:
    """As with 6.18.15, which holds its configuration itself."""
    build = choices({"linux-image-6.18.15+deb13-amd64": ("linux-base-6.18.15+deb13-amd64",)}, ())[0]
    assert build.packages == ("linux-image-6.18.15+deb13-amd64",)


def test_why_is_said() -> None:
    only = {"linux-image-7.2.12+deb13-amd64": ()}
    assert choices(only, ())[0].why == "no series known to work is left in the archive"
    assert choices(only, (), "7.2")[0].why == "it was requested"
    assert choices({"linux-image-7.3.4+deb13-amd64": ()}, ())[0].why == "its series is known to work"


@pytest.mark.parametrize(
    ("parts", "asked", "said"),
    [
        ({"linux-image-6.12.95+deb13-amd64": ()}, None, "no kernel with sched_ext"),
        ({}, None, "no kernel with sched_ext"),
        ({"linux-image-6.18.15+deb13-amd64": ()}, "6.1", "no kernel 6.1 with sched_ext"),
        ({"linux-image-7.0.13+deb13-amd64": ("gone",)}, "7.0", "no whole kernel 7.0 with sched_ext: gone is missing"),
    ],
)
def test_when_there_is_none_it_is_said_what_is_missing(
    parts: dict[str, tuple[str, ...]], asked: str | None, said: str
) -> None:
    with pytest.raises(FetchError, match=said):
        choices(parts, (), asked)


DEPENDS = """linux-image-6.18.15+deb13-amd64
  PreDepends: linux-base
 |Depends: dracut
 |Depends: <initramfs-tools>
  Depends: <linux-initramfs-tool>
    dracut
  Depends: <linux-base-6.18.15+deb13-amd64>
  Suggests: linux-doc-6.18
linux-image-7.0.13+deb13-amd64
  PreDepends: linux-base
  Depends: <linux-base-7.0.13+deb13-amd64>
  Depends: linux-binary-7.0.13+deb13-amd64
  Depends: <linux-modules-7.0.13+deb13-amd64>
  Breaks: <fwupdate>
"""


def test_the_parts_of_an_image_are_read_also_those_that_are_not_there() -> None:
    assert parts_in_depends(DEPENDS) == {
        "linux-image-6.18.15+deb13-amd64": ("linux-base-6.18.15+deb13-amd64",),
        "linux-image-7.0.13+deb13-amd64": tuple(
            f"linux-{part}-7.0.13+deb13-amd64" for part in ("base", "binary", "modules")
        ),
    }
