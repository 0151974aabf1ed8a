# SPDX-License-Identifier: Apache-2.0
"""Selection: equal everywhere, nested, and nothing to gain by choosing ids."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.ids import new_id
from gateway.wire.selection import KEY_BYTES, Selection, derived_key, read_key, threshold

KEY = bytes(range(32))
ROWS = 100_000


def chosen(selection: Selection, ids: list[str], share: float) -> set[str]:
    """Those of *ids* that *selection* chooses."""
    below = threshold(share)
    return {id_ for id_ in ids if selection.number(id_) < below}


def test_another_process_chooses_the_same() -> None:
    """Whatever Python's own hashes are there."""
    ids = [new_id() for _ in range(200)]
    program = (
        "import sys; from gateway.wire.selection import Selection\n"
        "selection = Selection(bytes(range(32)))\n"
        "print(*[selection.number(line.strip(), 't') for line in sys.stdin])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="\n".join(ids), capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONHASHSEED": "7"},
    )  # fmt: skip

    selection = Selection(KEY)
    assert [int(each) for each in done.stdout.split()] == [
        selection.number(id_, "t") for id_ in ids
    ]


@given(st.text(max_size=64), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_chooses_the_same_and_more(id_: str, one: float, other: float) -> None:
    """What is in the smaller sample is in the larger one."""
    number = Selection(KEY).number(id_)
    smaller, larger = sorted((one, other))

    assert (number < threshold(smaller)) <= (number < threshold(larger))


def test_all_or_nothing_are_all_and_nothing() -> None:
    """The ends of the scale are no matter of luck."""
    assert threshold(0) == 0
    assert threshold(1) == 1 << 64


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([new_id() for _ in range(ROWS)], id="ours"),
        pytest.param([str(number) for number in range(ROWS)], id="counted"),
        pytest.param(["a" * length for length in range(1, 5001)], id="repetitive"),
    ],
)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_met_whatever_ids_look_like(ids: list[str], share: float) -> None:
    """Five standard deviations are allowed for."""
    found = len(chosen(Selection(KEY), ids, share))
    spread = (len(ids) * share * (1 - share)) ** 0.5

    assert abs(found - len(ids) * share) < 5 * spread


def test_ids_aimed_at_one_key_are_chosen_as_any_by_another() -> None:
    """Who knows another deployment's key, or none, gains nothing."""
    aimed = [
        id_
        for id_ in map(str, range(200_000))
        if Selection(b"k" * 32).number(id_) < threshold(0.02)
    ]
    assert len(aimed) > 3000

    found = len(chosen(Selection(KEY), aimed, 0.1))
    assert abs(found - len(aimed) * 0.1) < 5 * (len(aimed) * 0.09) ** 0.5


def test_purposes_choose_independently() -> None:
    """Whoever goes to the candidate is sampled as often as whoever does not."""
    ids = [new_id() for _ in range(ROWS)]
    both = chosen(Selection(KEY), ids, 0.1) & chosen(Selection(KEY, "split"), ids, 0.1)

    assert abs(len(both) - ROWS * 0.01) < 5 * (ROWS * 0.01) ** 0.5


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_tenant_and_id_are_told_apart(one: str, first: str, other: str, second: str) -> None:
    """Moving a character from one to the other gives another number."""
    tenant, id_ = one.replace("\0", ""), first.replace("\0", "")
    also, too = other.replace("\0", ""), second.replace("\0", "")
    selection = Selection(KEY)

    same = (tenant, id_) == (also, too)
    assert (selection.number(id_, tenant) == selection.number(too, also)) is same


def test_a_key_that_could_be_guessed_is_refused() -> None:
    """Fewer than 16 bytes are no key."""
    with pytest.raises(ValueError, match="a key of 16 to 64 bytes is needed, not 3"):
        Selection(b"key")


def test_all_who_read_the_key_get_the_same_one(tmp_path: Path) -> None:
    """Whoever comes first makes it, for the owner alone."""
    path = tmp_path / "sampling.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: read_key(path), range(32)))

    assert [len(key) for key in keys] == [KEY_BYTES]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_gives_the_same_key_on_all_hosts() -> None:
    """And another one another."""
    assert derived_key("a secret that is shared") == derived_key("a secret that is shared")
    assert derived_key("a secret that is shared") != derived_key("another one that is not")
