# SPDX-License-Identifier: Apache-2.0
"""Every operation beside the estimator of scikit-learn whose semantics it has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from gateway.wire.tensor import Array
from tests.support.tables import apply, learnt, operation, table_step

KEPT: dict[str, Any] = {"nan": "keep", "null": "keep"}
NUMBERS: dict[str, dict[str, Any]] = {"a": KEPT, "b": KEPT, "c": KEPT}
# The worst that arithmetic in another order may do; most are equal to the bit.
CLOSE = 1e-12

finite = st.floats(-1e9, 1e9, allow_subnormal=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 1e-12, 5.0, 5.0]
)
holes = finite | st.just(np.nan)


def matrices(values: st.SearchStrategy[float], least: int = 2) -> st.SearchStrategy[Array]:
    """Arrays ``[rows, 3]``."""
    row = st.tuples(values, values, values)
    return st.lists(row, min_size=least, max_size=24).map(lambda rows: np.array(rows, np.float64))


def named(matrix: Array) -> dict[str, Array]:
    """The columns of *matrix* as a, b, c."""
    return dict(zip("abc", matrix.T.copy(), strict=True))


def both(op: Any, estimator: Any, train: Array, rows: Array) -> tuple[Array, Array]:
    """What the operation and the estimator, learnt from *train*, make of *rows*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with np.errstate(all="ignore"):
            wanted = estimator.fit(train).transform(rows)
        step = table_step(NUMBERS, op)
        if op.learns is not None:
            step = learnt(step, named(train))
    return apply(step, named(rows)), np.asarray(wanted)


def same(found: Array, wanted: Array, *, close: float = CLOSE) -> None:
    """Equal where it counts: relative to the size of the numbers, NaN to NaN."""
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=close, atol=close)


SCALERS = [
    (operation("standard"), StandardScaler()),
    (operation("standard", with_mean=False), StandardScaler(with_mean=False)),
    (operation("standard", with_std=False), StandardScaler(with_std=False)),
    (operation("min_max"), MinMaxScaler()),
    (operation("min_max", range=[-3, 5], clip=True), MinMaxScaler((-3, 5), clip=True)),
    (operation("robust"), RobustScaler()),
    (operation("robust", quantile_range=[10, 80]), RobustScaler(quantile_range=(10, 80))),
    (operation("robust", with_centering=False), RobustScaler(with_centering=False)),
    (operation("robust", with_scaling=False), RobustScaler(with_scaling=False)),
    (operation("max_abs"), MaxAbsScaler()),
]
SLOW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(("op", "estimator"), SCALERS, ids=lambda each: str(each)[:60])
@given(train=matrices(finite), rows=matrices(holes, 1))
@SLOW
def test_scalers_scale_alike(op: Any, estimator: Any, train: Array, rows: Array) -> None:
    """Ddof 0, a divisor of 1 for constant columns, NaN passed through."""
    found, wanted = both(op, estimator, train, rows)

    np.testing.assert_array_equal(found, wanted)


@given(train=matrices(holes), rows=matrices(holes, 1))
@SLOW
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("indicator", [False, True])
def test_impute_fills_alike(strategy: str, indicator: bool, train: Array, rows: Array) -> None:  # noqa: FBT001
    """Ties, indicators for columns with holes in training only, and their place behind the rest."""
    train[0] = [1.5, -2.0, 3.0]
    estimator = SimpleImputer(strategy=strategy, add_indicator=indicator)
    if indicator:
        # Without holes in training there is no indicator to be had for holes in rows.
        train[1] = np.nan
    op = operation("impute", strategy=strategy, indicator=indicator)
    found, wanted = both(op, estimator, train, rows)

    np.testing.assert_array_equal(found, wanted)


@given(
    train=matrices(st.floats(-50, 50), 6), rows=matrices(st.floats(-60, 60) | st.just(np.nan), 1)
)
@SLOW
@pytest.mark.parametrize("standardize", [False, True])
def test_yeo_johnson_bends_alike(standardize: bool, train: Array, rows: Array) -> None:  # noqa: FBT001
    """Both branches, at the exponents that scikit-learn finds."""
    train[:3] = [[-1, 2, 3], [4, -5, 6.5], [0.25, 8, -9]]
    op = operation("power", standardize=standardize)
    found, wanted = both(op, PowerTransformer(standardize=standardize), train, rows)

    same(found, wanted, close=1e-9)


@given(train=matrices(st.floats(0.01, 50), 6), rows=matrices(st.floats(0.001, 60), 1))
@SLOW
def test_box_cox_bends_alike(train: Array, rows: Array) -> None:
    """The logarithm at exponent 0 included."""
    train[:3] = [[1, 2, 3], [4, 5, 6.5], [0.25, 8, 9]]
    op = operation("power", method="box_cox")
    found, wanted = both(op, PowerTransformer(method="box-cox"), train, rows)

    same(found, wanted, close=1e-9)


@given(train=matrices(holes, 5), rows=matrices(holes, 1), data=st.data())
@SLOW
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_quantile_places_alike(distribution: str, train: Array, rows: Array, data: Any) -> None:
    """Repeated quantiles, values at and beyond both ends, holes."""
    train[0] = [1.5, -2.0, 3.0]
    rows = np.concatenate([rows, train[: data.draw(st.integers(0, len(train)))]])
    op = operation("quantile", quantiles=7, distribution=distribution)
    estimator = QuantileTransformer(
        n_quantiles=min(7, len(train)), output_distribution=distribution, subsample=None
    )
    found, wanted = both(op, estimator, train, rows)

    same(found, wanted)


@given(rows=matrices(st.floats(-1e3, 1e3, allow_subnormal=False), 1))
@SLOW
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_polynomial_multiplies_alike(
    degree: int,
    interaction_only: bool,  # noqa: FBT001 - a parameter of the test
    bias: bool,  # noqa: FBT001 - the same
    rows: Array,
) -> None:
    """Every product in the order, and under the name, that scikit-learn gives it."""
    op = operation(
        "polynomial", degree=degree, interaction_only=interaction_only, include_bias=bias
    )
    estimator = PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=bias)
    found, wanted = both(op, estimator, rows, rows)
    names = [place.name for place in table_step(NUMBERS, op).planned().places]

    np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=1e-300)
    assert names == list(estimator.get_feature_names_out(list("abc")))


@given(train=matrices(finite, 6), rows=matrices(finite, 1))
@SLOW
@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
@pytest.mark.parametrize("encode", ["ordinal", "one_hot"])
def test_bucketize_bins_alike(strategy: str, encode: str, train: Array, rows: Array) -> None:
    """On an edge, below the first and above the last."""
    train[:4] = [[1, 2, 3], [4, 5, 6], [7, 8, 10], [11, 13, 17]]
    rows = np.concatenate([rows, train])
    op = operation("bucketize", bins=3, strategy=strategy, encode=encode)
    estimator = KBinsDiscretizer(
        3, encode="ordinal" if encode == "ordinal" else "onehot-dense", strategy=strategy,
        quantile_method="averaged_inverted_cdf", subsample=None, random_state=0,
    )  # fmt: skip
    found, wanted = both(op, estimator, train, rows)

    np.testing.assert_array_equal(found, wanted)


words = st.sampled_from(["a", "b", "cc", "δ", "", " ", "1", "a_b"])
WORDS: dict[str, dict[str, Any]] = {
    name: {"type": "BYTES", "null": "keep", "missing": "keep"} for name in "st"
}


def texts(rows: list[tuple[Any, Any]]) -> tuple[dict[str, list[Any]], Array]:
    """Rows as columns of ours, and as a matrix of objects."""
    matrix = np.empty((len(rows), 2), object)
    matrix[:] = rows
    return {"s": [row[0] for row in rows], "t": [row[1] for row in rows]}, matrix


@given(
    train=st.lists(st.tuples(words | st.none(), words), min_size=3, max_size=30),
    data=st.data(),
)
@SLOW
@pytest.mark.parametrize("unknown", ["error", "ignore", "infrequent"])
@pytest.mark.parametrize("drop", ["none", "first", "if_binary"])
@pytest.mark.parametrize("rare", [{}, {"min_frequency": 3}, {"max_categories": 2}])
def test_one_hot_encodes_alike(
    unknown: str, drop: str, rare: dict[str, int], train: list[Any], data: Any
) -> None:
    """Order, names, drops, rare and unknown categories, null as a category of its own."""
    columns, matrix = texts(train)
    some = words | st.none() if unknown != "error" else st.nothing()
    rows = (
        train + data.draw(st.lists(st.tuples(some, some), max_size=5))
        if unknown != "error"
        else train
    )
    given_rows, given_matrix = texts(rows)
    handle = {"infrequent": "infrequent_if_exist"}.get(unknown, unknown)
    estimator = OneHotEncoder(
        handle_unknown=handle, drop=None if drop == "none" else drop, sparse_output=False, **rare
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = estimator.fit(matrix).transform(given_matrix)
        except ValueError:
            # All categories of a column are rare, and the only column is dropped.
            return
        step = learnt(
            table_step(WORDS, operation("one_hot", unknown=unknown, drop=drop, **rare)), columns
        )
    if not wanted.shape[1]:
        return
    names = [place.name for place in step.planned().places]

    np.testing.assert_array_equal(apply(step, given_rows), wanted)
    assert names == list(estimator.get_feature_names_out(["s", "t"]))


@given(train=st.lists(st.tuples(words | st.none(), words), min_size=1, max_size=20), data=st.data())
@SLOW
def test_ordinal_encodes_alike(train: list[Any], data: Any) -> None:
    """Unknown ones get their number, nulls NaN."""
    columns, matrix = texts(train)
    rows = train + data.draw(st.lists(st.tuples(words, words), max_size=5))
    given_rows, given_matrix = texts(rows)
    estimator = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    wanted = estimator.fit(matrix).transform(given_matrix)
    step = learnt(table_step(WORDS, operation("ordinal", unknown="value")), columns)

    np.testing.assert_array_equal(apply(step, given_rows), wanted)


@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=80), words), min_size=1, max_size=9
    )
)
@SLOW
@pytest.mark.parametrize("features", [1, 2, 7, 64])
@pytest.mark.parametrize("sign", [False, True])
def test_hashing_hashes_alike(features: int, sign: bool, rows: list[Any]) -> None:  # noqa: FBT001
    """Any text, by name and text or by text alone."""
    columns, _ = texts(rows)
    for with_name in (True, False):
        op = operation("hashing", features=features, alternate_sign=sign, with_name=with_name)
        estimator = FeatureHasher(
            features, input_type="dict" if with_name else "string", alternate_sign=sign
        )
        samples = [{"s": s, "t": t} for s, t in rows] if with_name else rows
        wanted = estimator.transform(samples).toarray()

        np.testing.assert_array_equal(apply(table_step(WORDS, op), columns), wanted)


def test_a_whole_column_transformer_is_the_same() -> None:
    """Imputed, scaled and encoded side by side, in the order of its transformers."""
    rng = np.random.default_rng(3)
    count = 200
    age = np.where(rng.random(count) < 0.2, np.nan, rng.normal(40, 12, count))
    income = rng.lognormal(10, 1, count)
    job = rng.choice(["clerk", "nurse", "smith"], count).astype(object)
    table = np.stack([age.astype(object), income.astype(object), job], axis=1)
    estimator = ColumnTransformer([
        ("job", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [2]),
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [0, 1]),
    ])  # fmt: skip
    wanted = estimator.fit_transform(table)
    step = table_step(
        {"age": {"nan": "keep"}, "income": {}, "job": {"type": "BYTES"}},
        operation("impute", columns=["age", "income"], strategy="median"),
        operation("standard", columns=["age", "income"]),
        operation("one_hot", unknown="ignore"),
        output=("job", "age", "income"),
    )
    data = {"age": age, "income": income, "job": job}

    same(apply(learnt(step, data), data), wanted.astype(float))
