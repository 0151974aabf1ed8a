# SPDX-License-Identifier: Apache-2.0
"""Reference: how features were distributed when all was well, in bins that are fixed by that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from gateway.statistics.profile import NameProfile, NumberProfile

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.quality.drift.features import Features
    from gateway.statistics.arrays import Floats, Integers
    from gateway.wire.tensor import Array

SCHEMA_VERSION: Final = 1
# Whole numbers of so few values are names, such as codes and classes.
_MOST_CODES: Final = 20
# Names that are counted one by one; all others are one bin.
_MOST_NAMES: Final = 50
# Texts of more values than a tenth of the rows are prose or keys: only their length is looked at.
_DIVERSE: Final = 0.1
BINS: Final = 10
Kind = Literal["number", "name"]
Profile: TypeAlias = NumberProfile | NameProfile


class Described(msgspec.Struct, frozen=True):
    """A feature as a file has it: *edges* of numbers or *known* names, and rows by bin.

    *confidence* is the sum of the model's confidence by bin; null where it gives none.
    """

    name: str
    kind: Kind
    counts: tuple[float, ...]
    edges: tuple[float, ...] = ()
    known: tuple[str | float, ...] = ()
    confidence: tuple[float, ...] | None = None


class Written(msgspec.Struct, frozen=True):
    """A reference as a file has it; *rows* is what it was made of, *source* says where these were.

    *made* is in seconds since the epoch.
    """

    schema_version: int
    model: str
    source: str
    made: float
    rows: int
    features: tuple[Described, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One feature: *profile* fixes its bins, *counts* [bins] are those of the reference.

    *confidence* [bins] is the sum of the model's confidence, None where it gives none.
    """

    name: str
    kind: Kind
    profile: Profile
    counts: Floats
    confidence: Floats | None

    @property
    def ordered(self) -> int:
        """How many of the first bins are in an order, those of numbers; 0 for names."""
        return self.profile.bins - 1 if self.kind == "number" else 0


class Reference:
    """The features of *rows* rows of *model*, of *source*, made at the time *made*."""

    def __init__(
        self, model: str, features: list[Feature], *, rows: int, source: str, made: float
    ) -> None:
        self.model = model
        self.features = features
        self.rows = rows
        self.source = source
        self.made = made
        self.width = max([each.profile.bins for each in features], default=0)

    def __repr__(self) -> str:
        return f"<Reference {self.model} {len(self.features)} features of {self.rows} rows>"

    @classmethod
    def fit(
        cls,
        model: str,
        found: Features,
        *,
        source: str,
        made: float,
        wanted: Collection[str] | None = None,
        most: int = 64,
    ) -> Reference:
        """A reference of the features *found*: those *wanted*, else the first *most* that serve."""
        features: list[Feature] = []
        texts = {name: np.asarray(column) for name, column in found.texts.items()}
        for name, column in {**found.numbers, **texts}.items():
            if (wanted is not None and name not in wanted) or len(features) >= most:
                continue
            made_of = _profile(column, certain=wanted is not None)
            if made_of is None:
                continue
            kind, profile = made_of
            features.append(_counted(name, kind, profile, column, found.confidence))
        return cls(model, features, rows=found.rows, source=source, made=made)

    def places(self, found: Features) -> Integers:
        """The bin of each row and feature, [rows, features]; -1 where a feature is absent."""
        places = np.full((found.rows, len(self.features)), -1, dtype=np.int64)
        for column, feature in enumerate(self.features):
            values: Any = found.numbers.get(feature.name)
            if values is None:
                values = found.texts.get(feature.name)
            if values is None or (feature.kind == "number" and isinstance(values, list)):
                continue
            places[:, column] = feature.profile.places(_values(values))
        return places

    def json(self) -> bytes:
        """As a file has it."""
        return msgspec.json.format(msgspec.json.encode(self._written()), indent=1) + b"\n"

    def _written(self) -> Written:
        described = []
        for each in self.features:
            parameters = each.profile.pack()["parameters"]
            described.append(
                Described(
                    each.name,
                    each.kind,
                    tuple(each.counts.tolist()),
                    tuple(parameters.get("edges", ())),
                    tuple(parameters.get("known", ())),
                    None if each.confidence is None else tuple(each.confidence.tolist()),
                )
            )
        return Written(
            SCHEMA_VERSION, self.model, self.source, self.made, self.rows, tuple(described)
        )

    @classmethod
    def read(cls, data: bytes, *, wanted: Collection[str] | None = None) -> Reference:
        """What `json` gave, of the features *wanted* alone; raises ValueError for anything else."""
        try:
            written = msgspec.json.decode(data, type=Written)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a reference of `infergate quality fit`: {error}") from None
        if written.schema_version > SCHEMA_VERSION:
            raise ValueError(
                f"a reference of version {written.schema_version}; this Infergate reads up to "
                f"{SCHEMA_VERSION}"
            )
        features = []
        for each in written.features:
            if wanted is not None and each.name not in wanted:
                continue
            profile: Profile = (
                NumberProfile(edges=each.edges)
                if each.kind == "number"
                else NameProfile(known=list(each.known))  # type: ignore[arg-type]  # of one kind
            )
            if len(each.counts) != profile.bins:
                raise ValueError(
                    f"feature '{each.name}' has {len(each.counts)} counts for {profile.bins} bins"
                )
            confidence = None if each.confidence is None else np.asarray(each.confidence)
            features.append(
                Feature(each.name, each.kind, profile, np.asarray(each.counts), confidence)
            )
        return cls(
            written.model, features, rows=written.rows, source=written.source, made=written.made
        )


def _profile(column: Array, *, certain: bool) -> tuple[Kind, Profile] | None:
    """The bins of a feature; None for one that says nothing, unless it is *certain* to be meant."""
    if column.dtype.kind == "U":
        names, counts = np.unique(column, return_counts=True)
        if not certain and len(names) > max(_MOST_CODES, _DIVERSE * len(column)):
            return None
        order = np.argsort(-counts, kind="stable")[:_MOST_NAMES]
        return "name", NameProfile(known=names[order].tolist())
    values = _values(column)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    distinct = np.unique(finite)
    if len(distinct) <= _MOST_CODES and (distinct == np.round(distinct)).all():
        # One value more than there is, so that a change of a constant is seen.
        return "name", NameProfile(known=distinct.tolist())
    return "number", NumberProfile.fit(finite, bins=BINS)


def _values(column: Any) -> Array:  # noqa: ANN401 - an array or a list of texts
    array = np.asarray(column)
    return array if array.dtype.kind == "U" else array.astype(np.float64)


def _counted(
    name: str, kind: Kind, profile: Profile, column: Array, confidence: Array | None
) -> Feature:
    places = profile.places(_values(column))
    counts = np.bincount(places, minlength=profile.bins).astype(np.float64)
    sums: Floats | None = None
    if confidence is not None:
        known = np.where(np.isfinite(confidence), confidence, 0.0).astype(np.float64)
        sums = np.bincount(places, weights=known, minlength=profile.bins).astype(np.float64)
    return Feature(name, kind, profile, counts, sums)
