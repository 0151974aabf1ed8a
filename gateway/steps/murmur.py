# SPDX-License-Identifier: Apache-2.0
"""MurmurHash3, 32 bits, of Austin Appleby: the hash that feature hashing is defined by."""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFF_FFFF
_C1: Final = 0xCC9E_2D51
_C2: Final = 0x1B87_3593


def murmur3(data: bytes, seed: int = 0) -> int:
    """The hash of *data* as a signed number of 32 bits."""
    hashed = seed
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        hashed ^= _mixed(int.from_bytes(data[at : at + 4], "little"))
        hashed = (hashed << 13 | hashed >> 19) & _MASK
        hashed = (hashed * 5 + 0xE654_6B64) & _MASK
    if tail := data[whole:]:
        hashed ^= _mixed(int.from_bytes(tail, "little"))
    hashed ^= len(data)
    hashed ^= hashed >> 16
    hashed = hashed * 0x85EB_CA6B & _MASK
    hashed ^= hashed >> 13
    hashed = hashed * 0xC2B2_AE35 & _MASK
    hashed ^= hashed >> 16
    return hashed - (1 << 32) if hashed >> 31 else hashed


def _mixed(block: int) -> int:
    block = block * _C1 & _MASK
    block = (block << 15 | block >> 17) & _MASK
    return block * _C2 & _MASK
