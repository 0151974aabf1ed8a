# SPDX-License-Identifier: Apache-2.0
"""Cells: labels that hold for predictions, gathered into columns for those who follow them."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.quality.block import Kind, columns, kind
from gateway.quality.joined import Joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.quality.labels import Cell
    from gateway.quality.truth import Truth
    from gateway.wire.samples import Samples

# A block has at most this many rows, as bits.
_POSITION: Final = 9
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


def gathered(
    cells: Iterable[Cell], blocks: Mapping[int, Samples], truths: Callable[[str], Truth | None]
) -> list[Joined]:
    """*cells*, in their order, as columns: one for each model file and role.

    Those are left out whose block is not in *blocks*, or whose model takes no labels any more.
    """
    groups: dict[Kind, list[Cell]] = {}
    kinds = {number: kind(samples) for number, samples in blocks.items()}
    for cell in cells:
        group = kinds.get(cell.found.block)
        if group is not None:
            groups.setdefault(group, []).append(cell)
    found = []
    for several in groups.values():
        truth = truths(blocks[several[0].found.block].model)
        if truth is not None:
            found.append(_columns(several, blocks, truth))
    return found


def _columns(cells: list[Cell], blocks: Mapping[int, Samples], truth: Truth) -> Joined:
    first, rows = blocks[cells[0].found.block], _rows(cells, blocks)
    sources: dict[str, int] = {}
    source = [sources.setdefault(cell.label.source, len(sources)) for cell in cells]
    places = np.array(
        [cell.found.block << _POSITION | cell.found.position for cell in cells], np.uint64
    )
    hashes = np.array([_hash(name) for name in sources], np.uint64)
    # An odd factor gives different numbers for different places.
    key = places * _SPREAD ^ hashes[source]
    return Joined(
        model=first.model,
        name=first.name,
        digest=first.digest,
        role=first.role,
        key=key.view(np.int64),
        times=rows["times"],
        labelled=np.array([cell.label.received for cell in cells]),
        endpoints=rows["endpoints"],
        endpoint=rows["endpoint"],
        slices=rows["slices"],
        slice=rows["slice"],
        flags=rows["flags"],
        pi=rows["pi"],
        question=rows["question"],
        predicted=rows["predicted"],
        true=np.array([cell.true for cell in cells], truth.dtype),
        weight=np.array([cell.label.weight for cell in cells]),
        sign=np.array([cell.sign for cell in cells], np.int8),
        sources=list(sources),
        source=np.array(source, np.uint16),
        scores=rows.get("scores"),
        columns=rows.get("columns"),
        live=rows.get("live"),
        live_digest=first.live_digest,
    )


def _rows(cells: list[Cell], blocks: Mapping[int, Samples]) -> dict[str, Any]:
    """The columns of the predictions of *cells*, in their order."""
    by_block: dict[int, list[int]] = {}
    for number, cell in enumerate(cells):
        by_block.setdefault(cell.found.block, []).append(number)
    order = [number for numbers in by_block.values() for number in numbers]
    found = columns(
        [blocks[block] for block in by_block],
        [
            np.array([cells[number].found.position for number in numbers], np.int64)
            for numbers in by_block.values()
        ],
    )
    if _sorted(order):
        return found
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return {
        name: value[back] if isinstance(value, np.ndarray) else value
        for name, value in found.items()
    }


def _sorted(order: list[int]) -> bool:
    return all(this < following for this, following in pairwise(order))


def _hash(source: str) -> int:
    return int.from_bytes(blake2b(source.encode(), digest_size=8).digest(), "little")
