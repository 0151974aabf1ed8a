# SPDX-License-Identifier: Apache-2.0
"""What docs/how-to/serve-text.md shows works as it stands there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support import minilm
from tests.support.models import identity, save
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "how-to" / "serve-text.md").read_text()


def blocks(language: str) -> list[str]:
    """The page's code in *language*, block by block."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(name="made", scope="module")
def fixture_made(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Serving, dict[str, Any]]]:
    """All of the page's models, served, and the names that its code leaves behind."""
    directory = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {}
    with chdir(directory):
        for code in blocks("python"):
            exec(compile(code, "serve-text.md", "exec"), names)  # noqa: S102 - the repository's own
        minilm.save(directory / "minilm")
        shutil.copy(minilm.package() / "tokenizer.json", directory)
        save(identity("FP32", ("rows", 80, "frames")), directory / "speech")
        config: dict[str, Any] = {"server": {"http": "127.0.0.1:0", "admin": "127.0.0.1:0"}}
        config["models"] = {}
        for text in blocks("yaml"):
            config["models"] |= yaml.safe_load(text)["models"]
        assert sorted(config["models"]) == ["pumps", "sentences", "speech", "topics"]
        os.environ["PYTHONPATH"] = str(ROOT)
        try:
            with Serving(directory, yaml.safe_dump(config)) as serving:
                yield serving.ready(), names
        finally:
            del os.environ["PYTHONPATH"]


def asked(serving: Serving, model: str, name: str, datatype: str, data: Any) -> dict[str, Any]:
    """The outputs of *model* for one input."""
    shape = list(np.shape(data))
    question = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    status, answer = serving.post(f"/v2/models/{model}/infer", {"inputs": [question]})
    assert status == 200, answer
    return {
        output["name"]: np.reshape(output["data"], output["shape"]) for output in answer["outputs"]
    }


def test_topics_are_those_of_scikit_learn(made: tuple[Serving, dict[str, Any]]) -> None:
    """From the text of the page's own request."""
    serving, names = made
    texts = ["my invoice is wrong", "the pump leaks", "pump invoice"]
    vectors = names["vectorizer"].transform(texts)
    found = asked(serving, "topics", "text", "BYTES", texts)
    np.testing.assert_allclose(
        found["probabilities"], names["classifier"].predict_proba(vectors), atol=1e-5
    )


def test_pumps_are_those_of_the_pipeline(made: tuple[Serving, dict[str, Any]]) -> None:
    """A missing number included, which only the graph before the model knows about."""
    serving, names = made
    values = names["measured"][:50].astype(np.float32)
    expected = names["model"].predict_proba(names["prepare"].transform(values))
    found = asked(serving, "pumps", "measured", "FP32", values.tolist())
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-4)


def test_embeddings_come_as_the_page_says(made: tuple[Serving, dict[str, Any]]) -> None:
    """One of length 1 for each text."""
    serving, _ = made
    status, answer = serving.post(
        "/v1/embeddings", {"model": "sentences", "input": ["first", "second"]}
    )
    assert status == 200, answer
    lengths = [np.linalg.norm(each["embedding"]) for each in answer["data"]]
    np.testing.assert_allclose(lengths, [1, 1], atol=1e-5)


def test_sound_becomes_a_spectrogram(made: tuple[Serving, dict[str, Any]]) -> None:
    """Of one second, a hundred frames; the pitch of a tone is its loudest band."""
    serving, _ = made
    tones = np.sin(2 * np.pi * np.outer([300, 3000], np.arange(44100)) / 44100)
    (shown,) = asked(serving, "speech", "x", "FP32", tones.tolist()).values()
    assert shown.shape == (2, 80, 100)
    low, high = shown[:, :, 50].argmax(axis=1)
    assert low < 15
    assert high > 40
