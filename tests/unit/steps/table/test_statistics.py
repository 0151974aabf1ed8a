# SPDX-License-Identifier: Apache-2.0
"""The statistics file: what does not fit the step that names it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.errors import ConfigError
from gateway.steps import client_info, digest
from gateway.steps.table.step import TableStep
from tests.support.tables import apply, learnt, model, operation, table_step

DATA = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 9.0]}
STANDARD = table_step({"a": {}, "b": {}}, operation("standard"))


def edited(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> TableStep:
    """`STANDARD` with a statistics file that *change* was made to."""
    content = msgspec.json.decode(Path(learnt(STANDARD, DATA).statistics).read_bytes())
    change(content)
    path = tmp_path / "statistics.json"
    path.write_bytes(msgspec.json.encode(content))
    return msgspec.structs.replace(STANDARD, statistics=str(path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(version=2), "is of version 2, expected 1"),
        (lambda c: c.update(format="x"), "is not one that infergate fit-preprocess writes"),
        (lambda c: c.pop("rows"), "is damaged"),
        (lambda c: c.update(operations=[]), "has nothing for it"),
        (
            lambda c: c["operations"][0].update(kind="robust"),
            "the statistics have robust in its place",
        ),
        (
            lambda c: c["operations"][0].update(columns=["b", "a"]),
            "are of columns [b, a], here it is done to [a, b]",
        ),
        (
            lambda c: c["operations"][0]["settings"].update(with_mean=False),
            "were learnt with with_mean False, here it is True",
        ),
        (
            lambda c: c["operations"][0].update(values={"center": "x"}),
            "the statistics of it are damaged",
        ),
        (
            lambda c: c["operations"][0].update(values={"center": [1], "scale": [1]}),
            "center has 1 numbers",
        ),
        (lambda c: c["types"].update(a="FP32"), "is of column 'a' as FP32, it is FP64 here"),
    ],
)
def test_a_statistics_file_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    """What was learnt for something else is never applied."""
    with pytest.raises(ConfigError) as caught:
        client_info(model(2), [edited(change, tmp_path)])

    assert says in caught.value.faults[0]


def test_the_file_is_read_once(tmp_path: Path) -> None:
    """What is bound later is what the digest was made of."""
    step = edited(lambda _: None, tmp_path)
    before = digest([step])
    (tmp_path / "statistics.json").write_text("{}")

    assert digest([step]) == before
    assert apply(step, DATA).shape == (4, 2)
