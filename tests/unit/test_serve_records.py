# SPDX-License-Identifier: Apache-2.0
"""The example of docs/how-to/serve-records.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gateway.cli import main
from gateway.errors import InvalidRequest
from gateway.lab.fit_preprocess import read_spec
from gateway.steps import bind_inputs, client_info
from gateway.wire.predict import decode_predict
from gateway.wire.signature import signature_of
from tests.support.tables import model
from tests.support.tree import ROOT


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    """Its files, its command, its answer and its refusal."""
    page = (ROOT / "docs" / "how-to" / "serve-records.md").read_text()
    blocks = dict(re.findall(r"^```([a-z-]+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    spec, data, learnt = (tmp_path / f"customers.{end}" for end in ("yaml", "csv", "json"))
    spec.write_text(blocks["yaml"])
    data.write_text(blocks["csv"])

    assert main(["fit-preprocess", str(data), "--spec", str(spec), "-o", str(learnt)]) == 0

    step = msgspec.structs.replace(read_spec(str(spec)), statistics=str(learnt))
    seen = client_info(model(4), [step])
    kernel, signature = bind_inputs(model(4), [step]), signature_of(seen)
    tensors, _ = decode_predict(blocks["json"].encode(), signature)
    (made,) = kernel(tensors)
    np.testing.assert_allclose(made.array(), json.loads(blocks["json-tensor"]), rtol=1e-15)
    with pytest.raises(InvalidRequest) as caught:
        decode_predict(blocks["json-refused"].encode(), signature)
    assert str(caught.value) == blocks["text"].strip()
