# SPDX-License-Identifier: Apache-2.0
"""What a step needs and does not find is a fault of the configuration, with its line."""

from __future__ import annotations

import sys

import pytest

from gateway.config.load import read
from gateway.errors import ConfigError
from tests.support.texts import vocabulary

TEXT = """\
models:
  m:
    backends:
      - address: tcp:127.0.0.1:1
    preprocess:
      - clean_text: {replace: [{pattern: "("}]}
      - tokenize:
          max_length: 8
          vocabulary: none.txt
      - onnx: {file: none.onnx}
"""


def test_every_step_names_what_it_misses() -> None:
    """A pattern, a vocabulary and a graph, each where it stands."""
    with pytest.raises(ConfigError) as caught:
        read(TEXT, name="c.yaml", environment={})

    lines = caught.value.faults
    assert [line.partition(": ")[0] for line in lines] == ["c.yaml:6", "c.yaml:9", "c.yaml:10"]
    assert "models.m.preprocess[0].clean_text.replace: replacement 0: pattern '('" in lines[0]
    assert "models.m.preprocess[1].tokenize.vocabulary: file 'none.txt' cannot be" in lines[1]
    assert "models.m.preprocess[2].onnx.file: file 'none.onnx' cannot be read" in lines[2]


def test_files_are_not_looked_at_where_nobody_asks_for_them() -> None:
    """A gateway process reads them when it binds the steps to the model."""
    text = TEXT.replace('replace: [{pattern: "("}]', "case: lower")
    assert len(read(text, name="c.yaml", environment={}, files=False).models["m"].preprocess) == 3


def test_a_missing_package_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra that has it."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    text = f"""\
models:
  m:
    backends: [{{address: "tcp:127.0.0.1:1"}}]
    preprocess:
      - tokenize: {{vocabulary: {vocabulary(name="extra.txt")}, max_length: 77}}
"""
    with pytest.raises(ConfigError, match=r"c\.yaml:5: .*install 'infergate\[text\]'"):
        read(text, name="c.yaml", environment={})
