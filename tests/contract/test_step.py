# SPDX-License-Identifier: Apache-2.0
"""What every step promises, whatever it does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.errors import BadAnswer, InvalidRequest
from gateway.stages.merge import split
from gateway.steps import (
    POSTPROCESS,
    PREPROCESS,
    bind_inputs,
    bind_outputs,
    carried,
    client_info,
    digest,
)
from gateway.wire.message import InferResponse
from gateway.wire.tensor import NUMPY, Tensor
from tests.support.steps import INPUT_CASES, OUTPUT_CASES, Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.steps import Kernel
    from gateway.wire.model import TensorSpec

ROWS = 5


class Bound:
    """A case's kernel, and the specs of what goes in and what must come out."""

    def __init__(self, case: Case) -> None:
        self.case = case
        seen = client_info(
            case.info,
            [case.step] if case in INPUT_CASES else [],  # type: ignore[list-item]
            [case.step] if case in OUTPUT_CASES else [],  # type: ignore[list-item]
        )
        self.kernel: Kernel
        if case in INPUT_CASES:
            self.kernel = bind_inputs(case.info, [case.step])  # type: ignore[list-item]
            self.given, self.made = seen.inputs, case.info.inputs
        else:
            self.kernel = bind_outputs(case.info, [case.step])  # type: ignore[list-item]
            inputs = carried(case.info, [case.step])  # type: ignore[list-item]
            self.given, self.made = (*case.info.outputs, *inputs), seen.outputs


@pytest.fixture(params=[*INPUT_CASES, *OUTPUT_CASES], ids=str)
def bound(request: pytest.FixtureRequest) -> Bound:
    """Each step, ready to run."""
    return Bound(request.param)


@pytest.fixture(
    params=[case for case in (*INPUT_CASES, *OUTPUT_CASES) if case.info.batched], ids=str
)
def batched(request: pytest.FixtureRequest) -> Bound:
    """Each step around a model with a batch dimension."""
    return Bound(request.param)


def tensor(
    spec: TensorSpec, rng: np.random.Generator, *, rows: int = ROWS, case: Case | None = None
) -> Tensor:
    """A tensor of *spec* with values that all steps here can take: a class number, or more.

    A BYTES input has the elements of its *case*.
    """
    length = ROWS if case is None else case.length
    shape = tuple(
        dimension if dimension != -1 else length if at else rows
        for at, dimension in enumerate(spec.shape)
    )
    if spec.datatype == "BYTES" and case is not None and case.element is not None:
        elements = np.empty(prod(shape), object)
        elements[:] = [case.element(rng) for _ in range(prod(shape))]
        return Tensor.of(spec.name, elements.reshape(shape))
    dtype = NUMPY[spec.datatype]
    if dtype.kind == "f":
        return Tensor.of(spec.name, rng.normal(0, 4, shape).astype(dtype))
    return Tensor.of(spec.name, rng.integers(0, 2, shape).astype(dtype))


def without_padding(tensors: tuple[Tensor, ...]) -> list[tuple[str, str, list[int]]]:
    """The tokens of one row, by name and datatype; the rest must be padding.

    Where there is no mask, tokens end with the last that is not 0, the padding of these cases.
    """
    arrays = {t.name: t.array()[0] for t in tensors}
    mask = arrays.get("attention_mask", arrays["input_ids"])
    places = np.flatnonzero(mask)
    there = slice(places[0], places[-1] + 1)
    assert "attention_mask" not in arrays or mask[there].all()
    return [(t.name, t.datatype, arrays[t.name][there].tolist()) for t in tensors]


def content(tensors: tuple[Tensor, ...]) -> list[tuple[str, str, tuple[int, ...], bytes]]:
    """All that two equal lists of tensors have in common."""
    return [(t.name, t.datatype, t.shape, bytes(t.data)) for t in tensors]


@pytest.mark.parametrize(
    ("table", "cases"), [(PREPROCESS, INPUT_CASES), (POSTPROCESS, OUTPUT_CASES)]
)
def test_this_suite_has_a_case_for_every_step(table: dict[str, type], cases: list[Case]) -> None:
    """A step without a case here would promise nothing."""
    assert set(table) == {case.step.kind for case in cases}


def test_result_has_the_declared_names_types_and_shapes(
    bound: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """What clients and models are told of a step is what it does."""
    made = bound.kernel(tuple(tensor(spec, rng(), case=bound.case) for spec in bound.given))

    assert [t.name for t in made] == [spec.name for spec in bound.made]
    for result, spec in zip(made, bound.made, strict=True):
        assert result.datatype == spec.datatype
        declared = tuple(
            d if d != -1 else extent if at else ROWS
            for at, (d, extent) in enumerate(zip(spec.shape, result.shape, strict=True))
        )
        assert result.shape == declared
        if spec.datatype != "BYTES":
            assert result.nbytes == prod(result.shape) * NUMPY[spec.datatype].itemsize


def test_input_is_not_changed(bound: Bound, rng: Callable[[], np.random.Generator]) -> None:
    """Batches and caches share buffers, so a step writes into none that it was given."""
    given = tuple(tensor(spec, rng(), case=bound.case) for spec in bound.given)
    before = content(given)
    writable = tuple(Tensor(t.name, t.datatype, t.shape, bytearray(t.data)) for t in given)

    bound.kernel(writable)

    assert content(writable) == before


def test_equal_inputs_have_equal_results(
    bound: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """A step knows nothing but its input."""
    first = bound.kernel(tuple(tensor(spec, rng(), case=bound.case) for spec in bound.given))
    second = bound.kernel(tuple(tensor(spec, rng(), case=bound.case) for spec in bound.given))

    assert content(first) == content(second)


def test_batch_has_the_results_of_its_rows(
    batched: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """Bit for bit, so that what a row is answered does not depend on who else asks.

    Where a step pads rows to the longest of a request, and says so, it may pad one alone to less.
    """
    given = tuple(tensor(spec, rng(), case=batched.case) for spec in batched.given)
    rows = split(InferResponse(given), [1] * ROWS)
    singly = [batched.kernel(row.outputs) for row in rows]

    together = split(InferResponse(batched.kernel(given)), [1] * ROWS)

    if getattr(batched.case.step, "rows_apart", True):
        assert [content(row.outputs) for row in together] == [content(row) for row in singly]
    else:
        for row, single in zip(together, singly, strict=True):
            assert without_padding(row.outputs) == without_padding(single)


def test_batch_of_no_rows_stays_empty(
    batched: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """A tensor without elements is a tensor."""
    given = tuple(tensor(spec, rng(), rows=0, case=batched.case) for spec in batched.given)

    made = batched.kernel(given)

    assert [(t.rows, t.nbytes) for t in made] == [(0, 0)] * len(batched.made)


def test_threads_have_the_results_of_one(
    bound: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """Kernels are shared by the threads of the pool, and keep nothing between calls."""
    given = [
        tuple(tensor(spec, np.random.default_rng([7, at]), case=bound.case) for spec in bound.given)
        for at in range(16)
    ]
    expected = [content(bound.kernel(tensors)) for tensors in given]
    together = threading.Barrier(4)

    def work(part: int) -> list[object]:
        together.wait(30)
        return [content(bound.kernel(given[at])) for at in range(part, 16, 4)]

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(work, range(4)))

    assert [parts[at % 4][at // 4] for at in range(16)] == expected


def test_a_result_shares_no_buffer_that_could_change(
    bound: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """What was made stays as it is, whatever is made next."""
    first = bound.kernel(tuple(tensor(spec, rng(), case=bound.case) for spec in bound.given))
    before = content(first)

    bound.kernel(
        tuple(tensor(spec, np.random.default_rng(8), case=bound.case) for spec in bound.given)
    )

    assert content(first) == before


def test_a_row_has_its_result_wherever_it_stands(
    batched: Bound, rng: Callable[[], np.random.Generator]
) -> None:
    """Rows in another order have their results in that order."""
    given = tuple(tensor(spec, rng(), case=batched.case) for spec in batched.given)
    order = np.random.default_rng(9).permutation(ROWS)
    turned = tuple(Tensor.of(t.name, t.array()[order], datatype=t.datatype) for t in given)

    expected = split(InferResponse(batched.kernel(given)), [1] * ROWS)
    found = split(InferResponse(batched.kernel(turned)), [1] * ROWS)

    bare = content if getattr(batched.case.step, "rows_apart", True) else without_padding
    in_order = [bare(expected[at].outputs) for at in order]
    assert [bare(row.outputs) for row in found] == in_order


@pytest.mark.parametrize("case", INPUT_CASES, ids=str)
def test_an_input_of_another_type_is_refused_by_name(
    case: Case, rng: Callable[[], np.random.Generator]
) -> None:
    """The client's fault, told in its words."""
    bound = Bound(case)
    spec, *others = bound.given
    other = "INT16" if spec.datatype != "INT16" else "FP64"
    shape = tuple(ROWS if dimension == -1 else dimension for dimension in spec.shape)
    sent = Tensor.of(spec.name, np.zeros(shape, NUMPY[other]))

    with pytest.raises(InvalidRequest) as caught:
        bound.kernel((sent, *[tensor(each, rng(), case=case) for each in others]))

    assert f"'{spec.name}'" in str(caught.value)
    assert other in str(caught.value)
    assert spec.datatype in str(caught.value)


@pytest.mark.parametrize("case", OUTPUT_CASES, ids=str)
def test_an_output_that_is_not_there_is_a_bad_answer(case: Case) -> None:
    """The worker's fault, which must not look like the client's or like ours."""
    kernel = Bound(case).kernel
    if case.step.kind == "rename":
        pytest.skip("it looks at no output; the codec misses what is not there")
    with pytest.raises(BadAnswer, match="'"):
        kernel(())


def test_digest_depends_on_every_step_and_its_fields() -> None:
    """No two of the cases' settings share cache entries."""
    digests = {digest([case.step], []) for case in INPUT_CASES}  # type: ignore[list-item]
    digests |= {digest([], [case.step]) for case in OUTPUT_CASES}  # type: ignore[list-item]
    settings = {(c.step.kind, c.step.recipe()) for c in [*INPUT_CASES, *OUTPUT_CASES]}

    assert len(digests) == len(settings)


@pytest.fixture
def rng() -> Callable[[], np.random.Generator]:
    """A source of equal generators."""
    return lambda: np.random.default_rng(7)
