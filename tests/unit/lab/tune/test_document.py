# SPDX-License-Identifier: Apache-2.0
"""Settings in configurations: read, written, and what changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.config import load
from gateway.lab import LabError
from gateway.lab.tune.document import Document
from gateway.lab.tune.setting import Setting
from tests.support.tree import ROOT

DIGITS = str(ROOT / "models/digits")
CONFIG = f"""
server: {{http: 127.0.0.1:8000, processes: 1}}
models:
  digits:
    backends:
      - worker: {{path: {DIGITS}, replicas: 2, spinning: true}}
        max_concurrency: 4
    batch: {{max_rows: 16, queue_rows: 100}}
    cache: {{ttl: 5m}}
  other:
    backends: [{{url: "http://127.0.0.1:9"}}]
"""


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """That of the configuration above."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return Document.of_file(str(file), "digits")


def test_the_setting_of_a_configuration_is_read(document: Document) -> None:
    """What it leaves open has the default."""
    assert document.start() == Setting(
        replicas=2, spinning=True, max_concurrency=4, max_rows=16, cache=True
    )
    assert Document.of_model("digits", DIGITS).start() == Setting()


def test_every_setting_makes_a_configuration_that_is_good(
    document: Document, tmp_path: Path
) -> None:
    """It loads, and says what was put in."""
    wanted = Setting(
        threads=2, instances=2, max_rows=256, optimization="basic", arena=False,
        max_concurrency="adaptive",
    )  # fmt: skip
    file = tmp_path / "tuned.yaml"
    for each in (document, Document.of_model("digits", DIGITS)):
        file.write_text(each.text(wanted))
        section = load(str(file)).models["digits"]
        worker = section.backends[0].worker
        assert worker is not None
        assert (worker.replicas, worker.threads, worker.instances) == (1, 2, 2)
        assert (worker.optimization, worker.arena, worker.spinning) == ("basic", False, False)
        assert section.backends[0].max_concurrency == "adaptive"
        assert section.batch.max_rows == 256
        assert section.cache is None


def test_a_trial_is_this_model_alone_on_free_ports(document: Document, tmp_path: Path) -> None:
    """It meets no server that runs already, and is still a configuration."""
    file = tmp_path / "trial.yaml"
    file.write_text(document.trial(document.start()))
    config = load(str(file))

    assert list(config.models) == ["digits"]
    assert (config.server.http, config.server.admin) == ("127.0.0.1:0", "127.0.0.1:0")
    assert config.models["digits"].batch.queue_rows == 100


def test_the_difference_shows_what_changes_and_nothing_else(document: Document) -> None:
    """A unified difference of the file."""
    changed = document.difference(document.start().put(replicas=1, max_rows=64), "made/digits-x")

    lines = [line.strip() for line in changed.splitlines() if line[0] in "+-"]
    assert [line[1:].strip() for line in lines if line[0] == "+"] == [
        "path: made/digits-x", "replicas: 1", "max_rows: 64",
    ]  # fmt: skip
    assert document.difference(document.start()) == ""


def test_what_is_set_stays_as_it_was_written(document: Document) -> None:
    """Defaults are not written out."""
    tree = yaml.safe_load(document.text(document.start().put(replicas=1)))

    assert tree["models"]["digits"]["cache"] == {"ttl": "5m"}
    assert "arena" not in tree["models"]["digits"]["backends"][0]["worker"]
    assert "other" in tree["models"]


def test_steps_before_the_model_are_noticed(tmp_path: Path) -> None:
    """Rows of the data are then not what the model takes."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"models: {{digits: {{backends: [{{worker: {{path: {DIGITS}}}}}], "
        "preprocess: [{scale: {factor: 0.0625}}]}}"
    )

    assert Document.of_file(str(file), "digits").steps
    assert not Document.of_model("digits", DIGITS).steps


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no model 'none'; there are: digits, other"), ("other", "0 worker backends")],
)
def test_a_model_without_a_worker_of_ours_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    """There is nothing to tune."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    with pytest.raises(LabError, match=message):
        Document.of_file(str(file), name)
