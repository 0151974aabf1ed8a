# SPDX-License-Identifier: Apache-2.0
"""Vectorizer: counts, TF-IDF weights or hashed counts of terms, as scikit-learn computes them.

TF-IDF multiplies the count of a term, or ``1 + ln(count)``, by its idf, which the fitted vectorizer
has as ``ln((1 + n) / (1 + df)) + 1``; rows are then divided by their L1 or L2 norm. A hashed term
counts in column ``abs(h) % features``, with the sign of ``h``, its MurmurHash3 with seed 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np

from gateway.steps.analysis import Analysis
from gateway.steps.files import package
from gateway.steps.step import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.wire.tensor import Array

FORMAT: Final = "infergate vectorizer 1"
# More columns than this are a sparse matrix's business, and no model's input.
MAX_FEATURES: Final = 1 << 20
_KNOWN_HASHES: Final = 1 << 16


class Vectorizer(Analysis, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fitted vectorizer, as it stands in its file."""

    format: Literal["infergate vectorizer 1"]
    kind: Literal["count", "tfidf", "hashing"]
    features: int
    vocabulary: tuple[str, ...] = ()
    idf: tuple[float, ...] = ()
    binary: bool = False
    sublinear_tf: bool = False
    norm: Literal["l1", "l2"] | None = None
    alternate_sign: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.features <= MAX_FEATURES:
            raise ValueError(f"features is {self.features}; expected 1 to {MAX_FEATURES}")
        hashing = self.kind == "hashing"
        if len(self.vocabulary) != (0 if hashing else self.features):
            raise ValueError(f"vocabulary has {len(self.vocabulary)} terms for {self.features}")
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("vocabulary has a term twice")
        if self.idf and (hashing or len(self.idf) != self.features):
            raise ValueError(f"idf has {len(self.idf)} weights for {self.features} terms")
        if not np.isfinite(self.idf).all():
            raise ValueError("idf has a weight that is no finite number")
        self.terms()

    def transform(self) -> Callable[[Sequence[str]], Array]:
        """The function from texts to their rows, FP64 of [texts, features]; raises Misfit."""
        terms = self.terms()
        columns = self._hashed() if self.kind == "hashing" else self._known()
        idf = np.array(self.idf) if self.idf else None

        def transform(texts: Sequence[str]) -> Array:
            places: list[int] = []
            signs: list[int] = []
            for row, text in enumerate(texts):
                columns(row * self.features, terms(text), places, signs)
            made = np.zeros(len(texts) * self.features)
            if places:
                self._fill(made, np.array(places), np.array(signs, np.float64), idf)
            return made.reshape(len(texts), self.features)

        return transform

    def _fill(self, made: Array, places: Array, signs: Array, idf: Array | None) -> None:
        """Put the weights of the terms at *places*, which may repeat, into *made*."""
        there, which = np.unique(places, return_inverse=True)
        weights = np.bincount(which, signs if signs.size else None).astype(np.float64)
        if self.binary:
            # A column that was hit with both signs counts, too.
            weights[:] = 1.0
        if self.sublinear_tf:
            weights = np.log(weights) + 1.0
        if idf is not None:
            weights *= idf[there % self.features]
        if self.norm is not None:
            rows = there // self.features
            # Added up one after the other in the order of columns, whoever stands in other rows.
            sizes = np.bincount(rows, weights**2 if self.norm == "l2" else np.abs(weights))
            norms = np.sqrt(sizes) if self.norm == "l2" else sizes
            norms[norms == 0.0] = 1.0
            weights /= norms[rows]
        made[there] = weights

    def _known(self) -> Callable[[int, Sequence[str], list[int], list[int]], None]:
        column = {term: at for at, term in enumerate(self.vocabulary)}.get

        def columns(start: int, terms: Sequence[str], places: list[int], _: list[int]) -> None:
            places += [start + at for at in map(column, terms) if at is not None]

        return columns

    def _hashed(self) -> Callable[[int, Sequence[str], list[int], list[int]], None]:
        murmur = package("mmh3", extra="text").hash
        features, signed = self.features, self.alternate_sign

        @lru_cache(maxsize=_KNOWN_HASHES)
        def hashed(term: str) -> tuple[int, int]:
            value = int(murmur(term.encode(), 0, signed=True))
            return abs(value) % features, 1 if value >= 0 or not signed else -1

        def columns(start: int, terms: Sequence[str], places: list[int], signs: list[int]) -> None:
            for term in terms:
                column, sign = hashed(term)
                places.append(start + column)
                signs.append(sign)

        return columns


@lru_cache(maxsize=16)
def read(content: bytes) -> Vectorizer:
    """The vectorizer in *content*, the JSON that `gateway.lab.export` writes; raises Misfit."""
    try:
        return msgspec.json.decode(content, type=Vectorizer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Misfit(f"not a vectorizer's file ({FORMAT}): {str(error)[:200]}") from None
