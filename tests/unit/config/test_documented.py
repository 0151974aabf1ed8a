# SPDX-License-Identifier: Apache-2.0
"""The configurations that the how-to pages show are ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.load import read
from tests.support.tree import ROOT

BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
EXAMPLES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    for number, text in enumerate(BLOCK.findall(page.read_text()))
    if text.startswith("models:")
]


def test_there_are_examples() -> None:
    """The pattern finds them."""
    pages = {Path(str(each.id)).stem.rpartition("-")[0] for each in EXAMPLES}

    assert pages >= {"augment", "golden-vectors", "postprocess"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_configuration(text: str) -> None:
    """But for the model files, which are the reader's."""
    assert read(text, name="example", files=False).models
