# SPDX-License-Identifier: Apache-2.0
"""Learn: what each operation on a table needs to know of training data, by scikit-learn itself.

The estimators whose semantics the operations have are the ones that are fitted, so that there is no
second opinion on ddof, ties, constant columns or rare categories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.lab import LabError
from gateway.lab.training_data import needed
from gateway.steps.table.bending import Power, Powers, Quantile, Quantiles
from gateway.steps.table.categories import Codes, Encoding, OneHot, Ordinal
from gateway.steps.table.cleaning import Bounds, Fills, Impute, Winsorize
from gateway.steps.table.derived import Bucketize, Edges
from gateway.steps.table.scaling import Lines, MaxAbs, MinMax, Moments, Robust, Standard
from gateway.wire.null import NULL_TEXT

if TYPE_CHECKING:
    from gateway.steps.table.operation import Operation
    from gateway.steps.table.plan import Place
    from gateway.wire.tensor import Array

# A column as scikit-learn takes it: float64 with NaN, or objects of text with None, [rows].
Columns = Sequence["Array"]


def learn(operation: Operation, places: Sequence[Place], columns: Columns) -> Any:  # noqa: ANN401
    """What *operation* learns of *columns*, which stand at *places*, as its `learns` says.

    Raises LabError, with scikit-learn's own reason.
    """
    try:
        return _LEARNERS[type(operation)](operation, places, columns)
    except (ValueError, TypeError) as error:
        raise LabError(f"{operation.kind}: {error}") from None


def _preprocessing() -> Any:  # noqa: ANN401 - a module
    return needed("sklearn.preprocessing", purpose="fit-preprocess")


def _matrix(columns: Columns) -> Array:
    return np.stack(columns, axis=1)


def _numbers(values: Any) -> tuple[float, ...]:  # noqa: ANN401 - an array, or None for nothing
    return () if values is None else tuple(np.asarray(values, np.float64).tolist())


def _standard(operation: Standard, _: Sequence[Place], columns: Columns) -> Moments:
    scaler = _preprocessing().StandardScaler(
        with_mean=operation.with_mean, with_std=operation.with_std
    )
    scaler.fit(_matrix(columns))
    mean = _numbers(scaler.mean_) if operation.with_mean else ()
    return Moments(mean, _numbers(scaler.scale_))


def _robust(operation: Robust, _: Sequence[Place], columns: Columns) -> Moments:
    low, high = operation.quantile_range
    scaler = _preprocessing().RobustScaler(
        with_centering=operation.with_centering,
        with_scaling=operation.with_scaling,
        quantile_range=(low, high),
    )
    scaler.fit(_matrix(columns))
    return Moments(_numbers(scaler.center_), _numbers(scaler.scale_))


def _max_abs(_: MaxAbs, __: Sequence[Place], columns: Columns) -> Moments:
    return Moments((), _numbers(_preprocessing().MaxAbsScaler().fit(_matrix(columns)).scale_))


def _min_max(operation: MinMax, _: Sequence[Place], columns: Columns) -> Lines:
    low, high = operation.range
    scaler = _preprocessing().MinMaxScaler(feature_range=(low, high)).fit(_matrix(columns))
    return Lines(_numbers(scaler.scale_), _numbers(scaler.min_))


def _impute(operation: Impute, places: Sequence[Place], columns: Columns) -> Fills:
    holes = [
        np.array([each is None for each in column]) if place.text else np.isnan(column)
        for place, column in zip(places, columns, strict=True)
    ]
    indicators = tuple(bool(each.any()) for each in holes)
    if operation.value is not None:
        return Fills((operation.value,) * len(places), indicators)
    for place, missing in zip(places, holes, strict=True):
        if missing.all():
            raise LabError(f"impute: column '{place.name}' has no value at all")
    numbers = [column for place, column in zip(places, columns, strict=True) if not place.text]
    # Together, as a user would have them: the order of a sum decides its last bit.
    means = iter(_fills(operation.strategy, _matrix(numbers), np.nan) if numbers else ())
    values: list[float | str] = [
        str(_fills(operation.strategy, column.reshape(-1, 1), None)[0])
        if place.text
        else float(next(means))
        for place, column in zip(places, columns, strict=True)
    ]
    return Fills(tuple(values), indicators)


def _fills(strategy: str, matrix: Array, hole: float | None) -> Any:  # noqa: ANN401 - an array
    impute = needed("sklearn.impute", purpose="fit-preprocess")
    return impute.SimpleImputer(strategy=strategy, missing_values=hole).fit(matrix).statistics_


def _winsorize(operation: Winsorize, _: Sequence[Place], columns: Columns) -> Bounds:
    bounds = np.nanquantile(_matrix(columns), [operation.lower, operation.upper], axis=0)
    return Bounds(_numbers(bounds[0]), _numbers(bounds[1]))


def _power(operation: Power, _: Sequence[Place], columns: Columns) -> Powers:
    preprocessing = _preprocessing()
    transformer = preprocessing.PowerTransformer(
        method=operation.method.replace("_", "-"), standardize=False
    )
    made = transformer.fit_transform(_matrix(columns))
    lambdas = _numbers(transformer.lambdas_)
    if not operation.standardize:
        return Powers(lambdas)
    scaler = preprocessing.StandardScaler().fit(made)
    return Powers(lambdas, _numbers(scaler.mean_), _numbers(scaler.scale_))


def _quantile(operation: Quantile, _: Sequence[Place], columns: Columns) -> Quantiles:
    matrix = _matrix(columns)
    transformer = _preprocessing().QuantileTransformer(
        n_quantiles=min(operation.quantiles, len(matrix)),
        output_distribution=operation.distribution,
        subsample=None,
    )
    transformer.fit(matrix)
    quantiles = tuple(_numbers(each) for each in transformer.quantiles_.T)
    return Quantiles(_numbers(transformer.references_), quantiles)


def _one_hot(operation: OneHot, places: Sequence[Place], columns: Columns) -> Encoding:
    encoder_of = _preprocessing().OneHotEncoder
    learnt = []
    for place, column in zip(places, columns, strict=True):
        encoder = encoder_of(
            drop=None if operation.drop == "none" else operation.drop,
            min_frequency=operation.min_frequency or None,
            max_categories=operation.max_categories or None,
            sparse_output=False,
        )
        encoder.fit(column.reshape(-1, 1))
        (categories,) = encoder.categories_
        rows = encoder.transform(categories.reshape(-1, 1))
        codes = tuple(float(row.argmax()) if row.any() else -1.0 for row in rows)
        rare = getattr(encoder, "infrequent_categories_", [None])[0]
        infrequent = None
        if rare is not None and len(rare):
            infrequent = int(codes[_key_place(categories, rare[0])])
        names = tuple(str(name) for name in encoder.get_feature_names_out([place.name]))
        learnt.append(
            Codes(
                _plain(categories), codes, names,
                None if infrequent == -1 else infrequent,
            )
        )  # fmt: skip
    return Encoding(tuple(learnt))


def _ordinal(operation: Ordinal, _: Sequence[Place], columns: Columns) -> Encoding:
    encoder_of = _preprocessing().OrdinalEncoder
    missing = np.nan if operation.missing_value is None else operation.missing_value
    options: dict[str, Any] = {}
    if operation.unknown == "value":
        code = np.nan if operation.unknown_value is None else operation.unknown_value
        options = {"handle_unknown": "use_encoded_value", "unknown_value": code}
    learnt = []
    for column in columns:
        encoder = encoder_of(encoded_missing_value=missing, **options)
        encoder.fit(column.reshape(-1, 1))
        (categories,) = encoder.categories_
        codes = encoder.transform(categories.reshape(-1, 1))[:, 0].tolist()
        numbers = tuple(None if np.isnan(code) else float(code) for code in codes)
        learnt.append(Codes(_plain(categories), numbers))
    return Encoding(tuple(learnt))


def _bucketize(operation: Bucketize, _: Sequence[Place], columns: Columns) -> Edges:
    discretizer = _preprocessing().KBinsDiscretizer(
        n_bins=operation.bins,
        encode="ordinal",
        strategy=operation.strategy,
        # The default of scikit-learn since 1.9, told so that it is the same before.
        quantile_method="averaged_inverted_cdf",
        subsample=None,
        random_state=0,
    )
    discretizer.fit(_matrix(columns))
    return Edges(tuple(_numbers(edges[1:-1]) for edges in discretizer.bin_edges_))


def _plain(categories: Array) -> tuple[float | str | None, ...]:
    """Categories as JSON has them: NaN and None are null."""
    return tuple(
        None
        if value is None or value != value  # noqa: PLR0124 - NaN
        else value if isinstance(value, str)
        else float(value)
        for value in categories.tolist()
    )  # fmt: skip


def _key_place(categories: Array, key: Any) -> int:  # noqa: ANN401 - a category
    plain, (wanted,) = _plain(categories), _plain(np.array([key], object))
    return plain.index(wanted)


def column_of(values: Any, *, text: bool) -> Array:  # noqa: ANN401 - part of a block
    """A column of a table as scikit-learn takes it."""
    if not text:
        return np.asarray(values, np.float64)
    made = np.empty(len(values), object)
    made[:] = [None if value == NULL_TEXT else value.decode("utf-8", "replace") for value in values]
    return made


_LEARNERS: Final[dict[type[Operation], Callable[[Any, Sequence[Place], Columns], Any]]] = {
    Standard: _standard,
    Robust: _robust,
    MaxAbs: _max_abs,
    MinMax: _min_max,
    Impute: _impute,
    Winsorize: _winsorize,
    Power: _power,
    Quantile: _quantile,
    OneHot: _one_hot,
    Ordinal: _ordinal,
    Bucketize: _bucketize,
}
