# SPDX-License-Identifier: Apache-2.0
"""Which settings there are on a machine."""

from __future__ import annotations

import pytest

from gateway.lab.tune.setting import Setting, Space


@pytest.mark.parametrize(("cores", "layouts"), [(1, 1), (2, 4), (4, 10), (6, 12)])
def test_layouts_keep_no_more_threads_busy_than_there_are_cores(cores: int, layouts: int) -> None:
    """Powers of two, and all cores where their number is none."""
    space = Space.on(cores)

    assert len(space.layouts) == layouts
    assert all(one * two * three <= cores for one, two, three in space.layouts)
    assert (cores, 1, 1) in space.layouts
    assert (1, cores, 1) in space.layouts


def test_a_setting_is_found_at_its_places() -> None:
    """Both ways; values of another type are others, though Python takes 1 for True."""
    space = Space.on(2, precision=("fp32", "int8-static"))

    for each in space.grid()[::97]:
        places = space.places(each)
        assert places is not None
        assert space.setting(places) == each
    assert len(space.grid()) == space.size
    assert space.places(Setting(threads=64)) is None


def test_the_start_is_in_the_space_whatever_it_is() -> None:
    """A user's threads may be more than the cores, and batches of any size."""
    odd = Setting(threads=3, max_rows=77, max_concurrency=5)
    space = Space.on(2).including(odd)

    assert space.places(odd) is not None
    assert space.setting(dict.fromkeys(space.choices(), 0)).max_rows == 77


def test_neighbours_differ_in_one_dimension() -> None:
    """The layout is one of them."""
    space = Space.on(2)
    here = Setting()
    near = space.neighbours(here)

    assert here not in near
    assert len(near) == sum(len(values) - 1 for values in space.choices().values())
    layouts = {"replicas", "threads", "instances"}
    assert all(len(set(one.changed(here)) - layouts) <= 1 for one in near)


def test_a_search_begins_where_experience_says() -> None:
    """As it is, one worker a core, all cores for one worker, and the other precisions."""
    space = Space.on(4, precision=("fp32", "int8-static"))

    assert space.seeds(Setting()) == [
        Setting(), Setting(replicas=4), Setting(threads=4), Setting(precision="int8-static"),
    ]  # fmt: skip


def test_a_setting_is_named_by_what_differs() -> None:
    """Short enough for a table."""
    assert Setting().name == "defaults"
    assert Setting(replicas=2, spinning=True).name == "replicas 2, spinning on"
