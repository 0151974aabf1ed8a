# SPDX-License-Identifier: Apache-2.0
"""The sections that docs/how-to/serve-pictures.md tells readers to copy."""

from __future__ import annotations

import re

import pytest
import yaml

from gateway.steps import client_info
from tests.support.steps import input_step, takes
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "how-to" / "serve-pictures.md").read_text("utf-8")
ROWS = [
    line.split(" | ")
    for line in PAGE.splitlines()
    if re.match(r"\| .* \| .*`\{.*normalize: .*\}`", line)
]


def test_the_page_has_recipes() -> None:
    """If the table changes its form, the test below would look at nothing."""
    assert len(ROWS) == 6


@pytest.mark.parametrize(("name", "section"), ROWS)
def test_a_recipe_can_be_copied(name: str, section: str) -> None:
    """It is a section of the step, and fits a model of the size that it names."""
    found = re.search(r"`(\{.*?\})`", section)
    assert found is not None
    options = yaml.safe_load(found[1].replace("shorter: N", "shorter: 256"))
    step = input_step("image", **options)

    size = options.get("crop") or next(iter(options["resize"].values()))
    shape = (size, size, 3) if options.get("layout") == "nhwc" else (3, size, size)
    (spec,) = client_info(takes("FP32", -1, *shape), [step]).inputs
    assert (spec.datatype, spec.shape) == ("BYTES", (-1,)), name
