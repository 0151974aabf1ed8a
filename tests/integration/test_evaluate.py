# SPDX-License-Identifier: Apache-2.0
"""`infergate evaluate` against a server over real sockets."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from gateway.lab.client import PROTOCOLS, Protocol
from gateway.lab.evaluate import run
from tests.support.oracle import Oracle
from tests.support.serving import Serving
from tests.support.tree import ROOT

# The server is right about 8 of these 10.
TRUTH = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
SAID = [0, 0, 1, 1, 1, 1, 1, 2, 2, 0]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A labelled set of 10 rows."""
    path = tmp_path / "set.npz"
    inputs = np.stack([SAID, np.zeros(10)], axis=1).astype(np.float32)
    np.savez(path, inputs=inputs, labels=np.asarray(TRUTH))
    return str(path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("output", [None, "scores"])
def test_the_figures_are_the_same_by_every_protocol_and_output(
    tmp_path: Path, data: str, protocol: Protocol, output: str | None
) -> None:
    """What is measured is the model, not the spelling."""
    report, picture = tmp_path / "report.json", tmp_path / "matrix.svg"
    with Oracle() as oracle:
        code = run(
            oracle.url, "oracle", data,
            batch=3, protocol=protocol, output=output, json=str(report), picture=str(picture),
        )  # fmt: skip

    result = json.loads(report.read_bytes())
    assert code == 0
    assert len(oracle.paths) == 4
    assert "0 as 1: 1 of 3" in picture.read_text()
    assert result["rows"] == 10
    assert result["output"] == (output or "label")
    assert result["accuracy"]["value"] == 0.8
    assert result["accuracy"]["lower"] == pytest.approx(0.4902, abs=1e-4)
    assert result["accuracy"]["upper"] == pytest.approx(0.9433, abs=1e-4)
    assert result["confusion"] == [[2, 1, 0], [0, 4, 0], [1, 0, 2]]


def test_a_summary_is_printed(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Accuracy with its interval on standard output, nothing on stderr."""
    with Oracle() as oracle:
        run(oracle.url + "/", "oracle", data)

    out, err = capsys.readouterr()
    assert "accuracy 0.8000 [0.4902, 0.9433]" in out
    assert "macro" in out
    assert err == ""


@pytest.mark.parametrize(("least", "code"), [(0.8, 0), (0.81, 1)])
def test_an_accuracy_below_the_least_is_exit_1(data: str, least: float, code: int) -> None:
    """A gate in a pipeline needs no parsing."""
    with Oracle() as oracle:
        assert run(oracle.url, "oracle", data, min_accuracy=least) == code


def test_averages_over_given_classes_count_those_that_never_occur(
    tmp_path: Path, data: str
) -> None:
    """A fourth class that nobody saw lowers the macro average, not the accuracy."""
    report = tmp_path / "report.json"
    with Oracle() as oracle:
        run(oracle.url, "oracle", data, json=str(report), classes=4)

    result = json.loads(report.read_bytes())
    assert result["classes_from"] == "given"
    assert len(result["classes"]) == 4
    assert result["averages"]["macro"]["recall"] == pytest.approx((2 / 3 + 1 + 2 / 3 + 0) / 4)
    assert result["accuracy"]["value"] == 0.8


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "elsewhere"},
            "/v2/models/elsewhere answered 404: unknown model; this server has",
        ),
        ({"output": "nothing"}, "no output 'nothing'; the model has: scores FP32 [-1, 3], label"),
        ({"url": f"http://127.0.0.1:{free_port()}"}, "cannot be reached: Connection refused"),
        ({"json": "/nowhere/report.json"}, "/nowhere/report.json: No such file or directory"),
        ({"classes": 2}, "true class 2 is not one of the 2 classes"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    data: str, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    """The line says what was wrong and what there is."""
    with Oracle() as oracle:
        code = run(**{"url": oracle.url, "model": "oracle", "data": data} | options)

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_failed_request_ends_the_evaluation(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure over a part of the rows would be wrong."""
    with Oracle(healthy=2) as oracle:
        code = run(oracle.url, "oracle", data, batch=1, concurrency=3)

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "/v2/models/oracle/infer answered 503: no worker is ready" in err
    assert err.count("\n") == 1


def test_labels_of_another_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are never compared with numbers, which would be an accuracy of 0."""
    path = tmp_path / "named.npz"
    np.savez(path, x=np.zeros((2, 2), dtype=np.float32), labels=np.asarray(["zero", "one"]))
    with Oracle() as oracle:
        code = run(oracle.url, "oracle", str(path))

    assert code == 2
    assert "cannot be compared" in capsys.readouterr().err


def test_answers_under_load_are_those_at_rest(
    tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second pass has other batches and another order; figures and latencies stand beside."""
    report = tmp_path / "report.json"
    with Oracle() as oracle:
        code = run(oracle.url, "oracle", data, batch=3, load=8, json=str(report))

    load = json.loads(report.read_bytes())["under_load"]
    assert code == 0
    assert load["changed_rows"] == 0
    assert load["main"]["value"] == 0.8
    assert load["latency"]["requests"] >= 4
    assert "all 10 rows were answered as at rest" in " ".join(capsys.readouterr().out.split())


def test_mixed_up_answers_are_exit_1(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Accuracy alone might not show them; the rows do."""
    with Oracle(tidy=1) as oracle:
        code = run(oracle.url, "oracle", data, batch=10, load=1)

    assert code == 1
    assert "rows were answered otherwise under load" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_and_labels_are_evaluated_too(tmp_path: Path, protocol: Protocol) -> None:
    """A regression by its errors, a multilabel model by its rows."""
    inputs = np.stack([np.arange(8), np.zeros(8)], axis=1).astype(np.float32)
    lengths, tags = tmp_path / "lengths.npz", tmp_path / "tags.npz"
    np.savez(lengths, inputs=inputs, labels=np.arange(8) + 0.5)
    wanted = np.arange(8)[:, None] >> np.arange(3) & 1
    wanted[0, 0] = 1
    np.savez(tags, inputs=inputs, labels=wanted, weights=np.ones(8))
    report = tmp_path / "report.json"
    with Oracle() as oracle:
        assert run(oracle.url, "ruler", str(lengths), protocol=protocol, json=str(report)) == 0
        numbers = json.loads(report.read_bytes())
        assert run(oracle.url, "tagger", str(tags), protocol=protocol, json=str(report)) == 0
        labels = json.loads(report.read_bytes())
        refused = run(oracle.url, "ruler", str(lengths), min_accuracy=0.5)

    assert (numbers["task"], numbers["accuracy"]) == ("regression", None)
    assert numbers["figures"]["bias"]["value"] == -0.5
    assert numbers["figures"]["rmse"]["value"] == 0.5
    assert (labels["task"], labels["weighted"]) == ("multilabel", True)
    assert labels["accuracy"]["value"] == 7 / 8
    assert labels["figures"]["hamming_loss"]["value"] == 1 / 24
    assert refused == 2


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("model", "factor", "output", "scores_output"),
    [
        ("digits", 0.0625, "label", "probabilities"),
        ("breast-cancer", 1, "diagnosis", "scores"),
    ],
)
def test_the_held_out_rows_score_as_scikit_learn_scores_onnxruntime(
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    factor: float,
    output: str,
    scores_output: str,
) -> None:
    """Through preprocessing, batches and workers, the figures are those of the bare model."""
    # A directory of a short name: the path of a worker's socket has its limit.
    tmp_path = tmp_path_factory.mktemp("e")
    file = ROOT / "models" / model / "test.npz"
    with np.load(file) as held_out:
        inputs, truth = held_out["inputs"], held_out["labels"]
    session = onnxruntime.InferenceSession(ROOT / "models" / model / "1" / "model.onnx")
    (name,) = (one.name for one in session.get_inputs())
    scaled = {name: (inputs * np.float32(factor)).astype(np.float32)}
    (said,) = session.run([output], scaled)
    (scores,) = session.run([scores_output], scaled)
    config = f"""
server: {{http: "127.0.0.1:0", admin: "127.0.0.1:0"}}
models:
  {model}:
    backends: [{{worker: {{path: {ROOT / "models" / model}, replicas: 2}}}}]
    preprocess: [{{scale: {{factor: {factor}}}}}]
"""
    report = tmp_path / "report.json"
    with Serving(tmp_path, config) as serving:
        serving.ready()
        code = run(f"http://{serving.http}", model, str(file), batch=7, load=24, json=str(report))

    result = json.loads(report.read_bytes())
    assert code == 0
    assert result["accuracy"]["value"] == pytest.approx(accuracy_score(truth, said), abs=1e-12)
    assert result["accuracy"]["value"] > 0.95
    for how, average in result["averages"].items():
        wanted = precision_recall_fscore_support(truth, said, average=how)[:3]
        actual = (average["precision"], average["recall"], average["f1"])
        assert actual == pytest.approx(wanted, abs=1e-12), how
    each = precision_recall_fscore_support(truth, said, average=None)
    for place, one in enumerate(result["classes"]):
        figures = (one["precision"]["value"], one["recall"]["value"], one["f1"]["value"])
        wanted = tuple(column[place] for column in each[:3])
        assert figures == pytest.approx(wanted, abs=1e-12)
        assert one["recall"]["n"] == each[3][place]
    values = {name: one["value"] for name, one in result["figures"].items()}
    assert values["matthews"] == pytest.approx(matthews_corrcoef(truth, said), abs=1e-12)
    assert values["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(truth, said), abs=1e-12
    )
    # Workers answer in float32, in batches of their own: the last digits of a score are theirs.
    exact = scores.astype(np.float64)
    loss = -np.log(exact[np.arange(len(truth)), truth].clip(1e-15)).mean()
    assert values["log_loss"] == pytest.approx(loss, abs=1e-6)
    if model == "digits":
        area = roc_auc_score(truth, exact, multi_class="ovr")
        assert values["macro_roc_auc"] == pytest.approx(area, abs=1e-12)
    else:
        assert values["roc_auc"] == pytest.approx(roc_auc_score(truth, exact[:, 1]), abs=1e-12)
    assert result["under_load"]["changed_rows"] == 0
    assert result["under_load"]["main"] == result["accuracy"]
