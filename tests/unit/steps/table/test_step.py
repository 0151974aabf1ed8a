# SPDX-License-Identifier: Apache-2.0
"""The table step as a whole: what is checked before any row, and what is refused of rows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import bind_inputs, client_info, digest
from gateway.steps.step import Misfit
from gateway.steps.table import Operation
from gateway.steps.table.step import ColumnConfig, TableStep
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, takes
from tests.support.steps import model as any_model
from tests.support.tables import apply, learnt, model, operation, table_step, tensors

AB: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
TEXT: dict[str, Any] = {"type": "BYTES"}
DATA = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 9.0]}


def misfit(step: TableStep, *, width: int = 2) -> str:
    """Why *step* does not fit a model of *width* columns."""
    with pytest.raises(ConfigError) as caught:
        client_info(model(width), [step])
    return caught.value.faults[0]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            table_step(AB, operation("log1p", columns=["c"])),
            "operations[0] log1p: there is no column 'c'",
        ),
        (table_step(AB, operation("one_hot")), "operations[0] one_hot: no column is text here"),
        (
            table_step({"a": TEXT, "b": {}}, operation("log1p", columns=["a"])),
            "column 'a' is text here, expected a number",
        ),
        (table_step({"a": TEXT, "b": {}}), "column 'a' is still text behind the operations"),
        (table_step(AB, operation("standard")), "let infergate fit-preprocess write a file"),
        (
            table_step(AB, operation("standard", mean=[1], std=[1])),
            "center has 1 numbers for 2 columns",
        ),
        (table_step(AB, operation("clip", min=[1, 2, 3])), "min has 3 numbers for 2 columns"),
        (
            table_step(AB, operation("polynomial", degree=2)),
            "it gives 6 columns (1, a, b, a^2, a b, b^2), but",
        ),
        (table_step(AB, output=("a", "z")), "there is no column 'z' behind the operations"),
        (
            table_step(AB, operation("copy", columns=["a"], to=["b"])),
            "there are two columns 'b' behind it",
        ),
        (
            table_step(AB, inputs={"y": ("a",)}),
            "'inputs' must name exactly those of the model: 'x'",
        ),
        (
            table_step(AB, statistics="/nowhere/statistics.json"),
            "infergate fit-preprocess writes one",
        ),
    ],
)
def test_what_does_not_fit_is_said_at_start(step: TableStep, says: str) -> None:
    """With the operation, what was found and what was expected."""
    said = misfit(step)

    assert said.startswith("model 'm': preprocess[0] table: ")
    assert says in said
    assert (
        says in " ".join(message for _, message in step.faults())
        or "behind" in said
        or "'x'" in said
    )


def test_a_table_stands_first() -> None:
    """What clients send by name is not there for a step before."""
    step = table_step({"a": {}}, output=("a",))
    scale = input_step("scale", factor=2)

    assert client_info(model(1), [step, scale]).inputs == (TensorSpec("a", "FP64", (-1,)),)
    with pytest.raises(ConfigError, match=r"preprocess\[1\] table: it must be the first step"):
        client_info(model(1), [scale, step])
    with pytest.raises(ConfigError, match="must be the first step"):
        client_info(model(1), [step, step])
    with pytest.raises(ConfigError, match="rows need a first dimension of -1"):
        client_info(takes("FP32", 2), [table_step(AB)])


def test_a_step_behind_the_table_works_on_what_it_gives() -> None:
    """The kernels run one behind the other."""
    step = table_step(AB, output=("b", "a"))
    kernel = bind_inputs(model(2), [step, input_step("scale", factor=2)])
    (made,) = kernel(tensors(step, {"a": [1.0, 2.0], "b": [3.0, 4.0]}))

    assert made.array().tolist() == [[6.0, 2.0], [8.0, 4.0]]


def test_a_model_with_several_inputs_gets_columns_in_each() -> None:
    """As models have them that were exported with a column an input."""
    specs = (
        TensorSpec("n", "INT64", (-1, 1)),
        TensorSpec("w", "BYTES", (-1, 1)),
        TensorSpec("v", "FP32", (-1,)),
    )
    step = table_step(
        {"a": {}, "t": TEXT, "k": {"type": "BOOL"}}, inputs={"v": ("a",), "w": ("t",), "n": ("k",)}
    )
    info = any_model(inputs=specs)
    made = bind_inputs(info, [step])(
        tensors(step, {"a": [1.5, 2.5], "t": ["x", "ü"], "k": [True, False]})
    )

    assert [(t.name, t.datatype, t.shape) for t in made] == [
        ("n", "INT64", (2, 1)), ("w", "BYTES", (2, 1)), ("v", "FP32", (2,)),
    ]  # fmt: skip
    assert [t.array().ravel().tolist() for t in made] == [[1, 0], [b"x", "ü".encode()], [1.5, 2.5]]
    with pytest.raises(ConfigError, match="say under 'inputs' what each gets"):
        client_info(info, [table_step({"a": {}})])


CASES: list[tuple[TableStep, dict[str, Any], str, str]] = [
    (
        table_step(AB),
        {"a": np.array([1, np.nan]), "b": np.zeros(2)},
        "FP64",
        "row 1, column 'a': NaN given",
    ),
    (
        table_step(AB),
        {"a": np.zeros(2), "b": np.array([np.inf, 1])},
        "FP64",
        "row 0, column 'b': infinity given",
    ),
    (
        table_step({"a": {"nan": "keep"}}),
        {"a": np.array([1, -np.inf])},
        "FP64",
        "row 1, column 'a': infinity given",
    ),
    (
        table_step(AB),
        {"a": np.array([1, 1e39]), "b": np.zeros(2)},
        "FP32",
        "row 1, column 'a': becomes 1e+39, out of range for FP32",
    ),
    (
        table_step(AB),
        {"a": np.array([1, 0.5]), "b": np.zeros(2)},
        "INT8",
        "row 1, column 'a': becomes 0.5, out of range for INT8",
    ),
    (
        table_step(AB),
        {"a": np.array([1, 2]), "b": np.zeros(2)},
        "BOOL",
        "row 1, column 'a': becomes 2, out of range for BOOL",
    ),
    (
        table_step(AB, operation("log1p")),
        {"a": np.zeros(2), "b": np.array([0, -1.0])},
        "FP64",
        "row 1, column 'b': -1 given, expected a number above -1",
    ),
    (
        table_step(AB, operation("cast", to="INT8")),
        {"a": np.zeros(2), "b": np.array([0, 128.0])},
        "FP64",
        "row 1, column 'b': 128 given, expected what INT8 can hold",
    ),
    (
        table_step({"a": {"nan": "keep"}}, operation("bucketize", edges=[1])),
        {"a": np.array([1, np.nan])},
        "FP64",
        "row 1, column 'a': nan given, expected a number; impute it before",
    ),
    (
        table_step({"t": TEXT}, operation("ordinal", categories={"t": ["x"]})),
        {"t": ["x", "y" * 999]},
        "FP64",
        "row 1, column 't': the text 'yyyy",
    ),
    (
        table_step({"t": TEXT}, operation("date_parts", parts=["year"])),
        {"t": ["2024-02-30"]},
        "FP64",
        "row 0, column 't': the text '2024-02-30' is no date",
    ),
    (
        table_step({"t": TEXT | {"null": "keep"}}),
        {"t": ["x", None]},
        "BYTES",
        "row 1, column 't': null given",
    ),
]


@pytest.mark.parametrize(("step", "rows", "datatype", "says"), CASES, ids=[c[3] for c in CASES])
def test_a_bad_value_is_refused_by_row_and_column(
    step: TableStep, rows: dict[str, Any], datatype: str, says: str
) -> None:
    """With the value and what would be right."""
    with pytest.raises(InvalidRequest) as caught:
        apply(step, rows, datatype=datatype)

    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_null_and_nan_have_their_own_policies() -> None:
    """A null that is kept is no NaN that is refused, and the other way round."""
    nulls = table_step({"a": {"null": "keep"}, "k": {"type": "INT64", "null": "keep"}})
    assert np.isnan(apply(nulls, {"a": [None, 1.0], "k": [2, None]})).tolist() == [
        [True, False], [False, True],
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="row 0, column 'a': NaN given"):
        apply(nulls, {"a": np.array([np.nan]), "k": [1]})

    single = table_step({"a": {"type": "FP32", "nan": "default", "default": 7, "null": "keep"}})
    assert apply(single, {"a": [None, 1.0]})[1:].tolist() == [[1.0]]
    assert np.isnan(apply(single, {"a": [None, 1.0]})[0, 0])
    assert apply(single, {"a": np.array([np.nan, 1], np.float32)}).tolist() == [[7.0], [1.0]]


def test_date_parts_and_angles() -> None:
    """ISO 8601 with and without a time, an offset brought to UTC, a null as NaN."""
    parts = ["year", "quarter", "month", "day", "day_of_week", "day_of_year", "week", "hour",
             "minute", "second", "is_weekend", "timestamp"]  # fmt: skip
    step = table_step({"t": TEXT | {"null": "keep"}}, operation("date_parts", parts=parts))
    found = apply(step, {"t": ["2024-03-31T01:30:15+02:00", "2021-01-03", None]})

    assert found[0].tolist() == [2024, 1, 3, 30, 5, 90, 13, 23, 30, 15, 1, 1711841415]
    assert found[1].tolist() == [2021, 1, 1, 3, 6, 3, 53, 0, 0, 0, 1, 1609632000]
    assert np.isnan(found[2]).all()
    angles = apply(
        table_step({"h": {}}, operation("cyclical", period=24)), {"h": np.array([0.0, 6, 12, 23])}
    )
    turns = np.array([0, 6, 12, 23]) / 24 * 2 * np.pi
    np.testing.assert_allclose(angles, np.stack([np.sin(turns), np.cos(turns)], 1), atol=1e-15)


def test_unknown_categories_get_a_column_of_their_own() -> None:
    """The last one, where `other` says so."""
    step = table_step(
        {"t": TEXT}, operation("one_hot", categories={"t": ["x", "y"]}, unknown="other")
    )

    assert apply(step, {"t": ["y", "?", "x"]}).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert [place.name for place in step.planned().places] == ["t_x", "t_y", "t_other"]


def test_text_and_number_categories_are_not_mixed() -> None:
    """'"1"' is not 1."""
    step = table_step({"n": {"type": "INT64"}}, operation("one_hot", columns=["n"]))
    step = learnt(step, {"n": np.array([3, 1, 2])})

    assert apply(step, {"n": [2, 3]}).tolist() == [[0, 1, 0], [0, 0, 1]]
    with pytest.raises(InvalidRequest, match=r"row 0, column 'n': the number 9\.0 is no known"):
        apply(step, {"n": [9]})
    with pytest.raises(Misfit, match="category '1' is not"):
        table_step(
            {"n": {}}, operation("one_hot", columns=["n"], categories={"n": ["1"]})
        ).planned()


def test_digest_depends_on_operations_columns_and_what_was_learnt() -> None:
    """No two of them share cache entries."""
    plain = table_step(AB, operation("scale", factor=2))
    other = msgspec.structs.replace(plain, operations=(operation("max_abs"),))
    steps = [
        plain,
        msgspec.structs.replace(plain, operations=(operation("scale", factor=3),)),
        msgspec.structs.replace(plain, operations=(operation("cyclical", period=2),)),
        msgspec.structs.replace(plain, columns=dict(reversed(plain.columns.items()))),
        msgspec.structs.replace(plain, unknown="ignore"),
        learnt(other, DATA),
        learnt(other, DATA | {"a": [9.0, 9.0, 9.0, 9.5]}),
    ]

    assert len({digest([step]) for step in steps}) == len(steps)
    with pytest.raises(ConfigError, match="cannot be read"):
        digest([msgspec.structs.replace(other, statistics="/nowhere")])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"default": 1}, "only then"),
        ({"null": "default"}, "only then"),
        ({"null": "default", "default": "x"}, "must be a number"),
        ({"type": "BYTES", "null": "default", "default": 1}, "must be text"),
        ({"type": "INT64", "null": "default", "default": 1.5}, "a whole number"),
        ({"type": "BOOL", "null": "default", "default": 2}, "0 or 1"),
        ({"type": "BYTES", "text_numbers": True}, "columns of numbers"),
    ],
)
def test_a_column_says_what_does_not_go_together(fields: dict[str, Any], says: str) -> None:
    """At once, where the file is read."""
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(fields, ColumnConfig)


def test_tensors_are_found_by_name() -> None:
    """A kernel does not rely on their order, and says which one is missing or of another type."""
    step = table_step(AB, output=("a", "b"))
    kernel = bind_inputs(model(2), [step])
    a, b = tensors(step, {"a": [1.0], "b": [2.0]})

    assert kernel((b, a))[0].array().tolist() == [[1.0, 2.0]]
    with pytest.raises(InvalidRequest, match="column 'b' is missing"):
        kernel((a,))
    with pytest.raises(InvalidRequest, match="'b': datatype FP32 given, FP64 expected"):
        kernel((a, Tensor.of("b", np.array([1], np.float32))))
    with pytest.raises(InvalidRequest, match="'a' has 1 and 'b' has 2"):
        kernel((a, Tensor.of("b", np.zeros(2))))
    with pytest.raises(InvalidRequest, match=r"shape \[1, 1\] given, expected \[rows\]"):
        kernel((a, Tensor.of("b", np.zeros((1, 1)))))


def test_cast_winsorize_and_clip_bring_numbers_into_form() -> None:
    """Towards 0, to the precision of the datatype, into bounds; what is no number stays none."""
    rows = {"a": np.array([-1.75, 0.1, 300.0, np.nan])}

    def made(*operations: Operation) -> list[float]:
        step = table_step({"a": {"nan": "keep"}}, *operations)
        used = learnt(step, rows) if operations[0].learns else step
        found: list[float] = apply(used, rows)[:, 0].tolist()
        return found

    nothing = pytest.approx(np.nan, nan_ok=True)
    assert made(operation("cast", to="INT16")) == [-1, 0, 300, nothing]
    assert made(operation("cast", to="FP32")) == [-1.75, float(np.float32(0.1)), 300, nothing]
    assert made(operation("cast", to="BOOL")) == [1, 1, 1, nothing]
    assert made(operation("clip", min=-1, max=[2])) == [-1, 0.1, 2, nothing]
    low, high = np.quantile([-1.75, 0.1, 300.0], [0.25, 0.75])
    assert made(operation("winsorize", lower=0.25, upper=0.75)) == [low, 0.1, high, nothing]
