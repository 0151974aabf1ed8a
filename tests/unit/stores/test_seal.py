# SPDX-License-Identifier: Apache-2.0
"""Seals: who can open what, and what their texts show."""

from __future__ import annotations

import pytest

from gateway.stores.seal import AesGcm, Digest, UnknownKey, fingerprint

HEAD = b"head"
OLD, NEW = b"o" * 32, b"n" * 32


def test_what_is_encrypted_shows_nothing_of_itself() -> None:
    """Not even whether two values are equal."""
    seal = AesGcm([OLD])
    first, second = (b"".join(seal.close(b"k", HEAD, [b"secret answer"])) for _ in range(2))

    assert b"secret" not in first
    assert first != second
    assert len(first) == 12 + len(b"secret answer") + 16


def test_a_key_that_was_rotated_out_still_opens() -> None:
    """The first seals, any opens."""
    before, after = AesGcm([OLD]), AesGcm([NEW, OLD])
    sealed = memoryview(b"".join(before.close(b"k", HEAD, [b"body"])))

    assert after.key_id == fingerprint(NEW) != before.key_id
    assert after.open(b"k", before.key_id, HEAD, sealed) == b"body"
    with pytest.raises(UnknownKey):
        AesGcm([NEW]).open(b"k", before.key_id, HEAD, sealed)


def test_each_entry_has_a_key_of_its_own() -> None:
    """Equal nonces, as chance may bring them in many values, tell nothing of two entries."""
    seal = AesGcm([OLD], nonce=bytes)
    one, two = (b"".join(seal.close(key, HEAD, [b"0000"])) for key in (b"a", b"b"))

    assert one[:12] == two[:12]
    assert one[12:16] != two[12:16]


def test_what_is_too_short_to_be_sealed_is_refused() -> None:
    """A seal alone is longer."""
    seal = AesGcm([OLD])
    for length in range(28):
        assert seal.open(b"k", seal.key_id, HEAD, memoryview(bytes(length))) is None


def test_the_place_between_key_and_head_counts() -> None:
    """Bytes that move from the one to the other make another value of it."""
    seal = Digest()
    (_, tag) = seal.close(b"ab", b"c", [b""])

    assert seal.open(b"ab", seal.key_id, b"c", memoryview(tag)) is not None
    assert seal.open(b"a", seal.key_id, b"bc", memoryview(tag)) is None


@pytest.mark.parametrize(
    ("keys", "fault"),
    [([], "at least one"), ([b"short"], "32 bytes"), ([OLD, OLD], "twice")],
)
def test_keys_that_cannot_be_used_are_refused(keys: list[bytes], fault: str) -> None:
    """At the start, and not with the first value."""
    with pytest.raises(ValueError, match=fault):
        AesGcm(keys)


def test_texts_show_no_secret() -> None:
    """They end up in logs."""
    assert repr(Digest(b"hidden")) == "<Digest keyed>"
    assert repr(Digest()) == "<Digest unkeyed>"
    assert repr(AesGcm([OLD, NEW])) == "<AesGcm 2 keys>"
