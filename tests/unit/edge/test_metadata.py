# SPDX-License-Identifier: Apache-2.0
"""Models as the protocols describe them."""

from __future__ import annotations

from gateway import __version__
from gateway.edge import metadata
from tests.support.edge import model

INFO = model(inputs=[("x", "FP32", (-1, 2)), ("t", "BYTES", (-1,))])


def test_the_server_names_only_what_it_has() -> None:
    """Clients choose by the extensions."""
    server = metadata.server()
    assert (server["name"], server["version"]) == ("infergate", __version__)
    assert {"binary_tensor_data", "classification"} <= set(server["extensions"])
    assert not {"statistics", "system_shared_memory", "sequence"} & set(server["extensions"])


def test_v2_metadata_shows_every_tensor() -> None:
    """Under the name that clients use, with free dimensions as -1."""
    assert metadata.v2_model("alias", INFO) == {
        "name": "alias",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "t", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "properties": {"digest": INFO.digest},
    }


def test_the_configuration_tells_the_batch_apart() -> None:
    """A batched model's rows are bounded by what a body can carry, and by nothing else."""
    config = metadata.v2_config("m", INFO, max_body=1200)

    assert config["max_batch_size"] == 100
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": [2]},
        {"name": "t", "data_type": "TYPE_STRING", "dims": []},
    ]


def test_the_configuration_of_a_model_without_batch_has_whole_shapes() -> None:
    """0 rows means just that."""
    config = metadata.v2_config("m", model(batched=False), max_body=1200)

    assert config["max_batch_size"] == 0
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 3]}]


def test_v1_status_speaks_both_dialects() -> None:
    """KServe's fields and TensorFlow Serving's in one object."""
    ready = metadata.v1_status("m", INFO, ready=True)
    (version,) = ready["model_version_status"]

    assert (ready["name"], ready["ready"]) == ("m", True)
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    assert version["status"]["error_code"] == "OK"


def test_v1_status_of_a_model_that_is_not_ready() -> None:
    """Loading if it was never there, else unknown."""
    for info, state in ((None, "LOADING"), (INFO, "UNKNOWN")):
        (version,) = metadata.v1_status("m", info, ready=False)["model_version_status"]
        assert (version["state"], version["status"]["error_code"]) == (state, "UNAVAILABLE")


def test_v1_metadata_is_a_signature() -> None:
    """With TensorFlow's names of the datatypes."""
    document = metadata.v1_model("m", INFO)
    signatures = document["metadata"]["signature_def"]["signature_def"]

    assert document["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    assert signatures["serving_default"]["inputs"]["t"]["dtype"] == "DT_STRING"
    assert signatures["serving_default"]["outputs"]["y"]["tensor_shape"]["dim"] == [
        {"size": "-1", "name": ""}, {"size": "3", "name": ""},
    ]  # fmt: skip
