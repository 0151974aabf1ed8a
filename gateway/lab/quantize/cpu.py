# SPDX-License-Identifier: Apache-2.0
"""Cpu: what this machine's processor does with bytes and halves.

x86 without VNNI adds products of bytes in 16 bits, which saturate: weights are then rounded to
seven bits, so that two products fit.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_VNNI: Final = {"avx512_vnni", "avx_vnni", "amx_int8"}
# Arm: dot products of bytes since 8.2, and arithmetic on halves.
_DOT: Final = {"asimddp", "i8mm"}
_HALVES: Final = {"avx512_fp16", "amx_fp16", "asimdhp", "fphp"}


@dataclass(frozen=True, slots=True)
class Cpu:
    """What it is called, and whether it multiplies bytes and halves without loss or detour."""

    name: str
    bytes_exact: bool
    halves: bool

    @property
    def reduce_range(self) -> bool:
        """Whether weights need to be of seven bits."""
        return not self.bytes_exact


def parse(text: str, machine: str) -> Cpu:
    """What the text of /proc/cpuinfo says of a *machine* such as x86_64 or aarch64."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    x86 = machine in {"x86_64", "AMD64", "i686"}
    return Cpu(
        name=fields.get("model name") or machine or "unknown",
        # Other processors add bytes in 32 bits.
        bytes_exact=bool(flags & (_VNNI | _DOT)) or not x86,
        halves=bool(flags & _HALVES),
    )


def this_cpu() -> Cpu:
    """The processor that this runs on; one without VNNI where that cannot be read."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse(text, platform.machine())
