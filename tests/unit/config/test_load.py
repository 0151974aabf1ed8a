# SPDX-License-Identifier: Apache-2.0
"""A file becomes a configuration or the list of its faults, and never anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, load
from gateway.config.load import read
from gateway.config.tree import MAX_BYTES
from gateway.errors import ConfigError

GOOD = "models: {a: {backends: [{address: 'unix:x'}]}}\n"

# Keys that there are and values of all kinds, so that texts get past the first look.
KEYS = st.sampled_from(
    ["models", "server", "cache", "backends", "worker", "address", "path", "replicas", "a", "x-y",
     "http", "ttl", "max_bytes", "batch", "max_rows", "retry", "budget", "preprocess", "scale",
     "factor", "normalize", "mean", "env", "policy", "<<"]
)  # fmt: skip
SCALARS = st.sampled_from(
    ["1", "0", "null", "", "true", "x", "unix:x", "10s", "5MiB", "${N}", "'1'", "1.5", "*a"]
) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(KEYS, inner, max_size=4).map(
            lambda table: f"{{{', '.join(f'{key}: {value}' for key, value in table.items())}}}"
        )
    ),
    max_leaves=12,
)


def faults(data: bytes, directory: Path) -> list[str]:
    """The faults of a file that has *data*."""
    path = directory / "f.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    return [fault.removeprefix(str(path)) for fault in caught.value.faults]


def test_file_is_read(tmp_path: Path) -> None:
    """A byte order mark at its beginning does no harm."""
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert list(load(str(path)).models) == ["a"]


def test_file_that_is_not_there_is_one_fault(tmp_path: Path) -> None:
    """So is one that cannot be read."""
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path / "nope"))
    assert caught.value.faults == [f"{tmp_path}/nope: cannot be read: No such file or directory"]
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(str(tmp_path))
    with pytest.raises(ConfigError, match="not a path"):
        load("a\0b")


def test_file_that_is_not_text_is_one_fault(tmp_path: Path) -> None:
    """The line of the first byte that is none is named."""
    assert faults(b"a: 1\nb: \xff\n", tmp_path) == [":2: not UTF-8: byte 0xff"]


def test_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    """A mistyped path may lead to anything."""
    assert faults(b"x" * (MAX_BYTES + 1), tmp_path) == [": expected at most 1MiB"]


def test_empty_file_is_one_fault(tmp_path: Path) -> None:
    """There is nothing to serve."""
    assert faults(b"# nothing\n", tmp_path) == [":1: is empty; expected at least models"]


def test_faults_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Those of the YAML and those of the values together, each with its line."""
    text = (
        "server:\n  http: 1\n  http: 2\nmodels:\n  a: {backends: [{worker: {path: /nope}}]}\nx: 1\n"
    )
    assert [fault.split(": ")[0:2] for fault in faults(text.encode(), tmp_path)] == [
        [":2", "server.http"],
        [":3", "server.http"],
        [":5", "models.a.backends[0].worker.path"],
        [":6", "x"],
    ]


def test_list_of_faults_ends_somewhere() -> None:
    """A file that is something else altogether does not fill the screen."""
    text = "\n".join(f"k{number}: 1" for number in range(500))
    with pytest.raises(ConfigError) as caught:
        read(text, name="f")
    assert len(caught.value.faults) == 101
    assert caught.value.faults[-1] == "f: and 401 more faults"


def test_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is given."""
    text = GOOD + "server: {timeout: '${PATIENCE}'}"
    monkeypatch.setenv("PATIENCE", "5s")
    assert read(text, name="f").server.timeout == 5
    assert read(text, name="f", environment={"PATIENCE": "6s"}).server.timeout == 6


@given(VALUES | st.dictionaries(KEYS, VALUES).map(
    lambda table: "\n".join(f"{key}: {value}" for key, value in table.items())
))  # fmt: skip
def test_any_text_is_a_configuration_or_has_faults(text: str) -> None:
    """Nothing but ConfigError comes out, and each of its faults begins with file and line."""
    config: Config | None
    try:
        config = read(text, name="f", environment={"N": "2"}, files=False)
    except ConfigError as error:
        config, said = None, error.faults
    else:
        said = []
    assert isinstance(config, Config) != bool(said)
    assert all(fault.startswith("f:") and "\n" not in fault for fault in said)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_have_faults(data: bytes) -> None:
    """The same for what is hardly text."""
    with pytest.raises(ConfigError):
        read(data.decode("latin-1"), name="f")


def test_a_missing_model_is_named_together_with_other_faults(tmp_path: Path) -> None:
    """Also with those of its own section: nobody should need a second run to see it."""
    path = tmp_path / "config.yaml"
    path.write_text("models:\n  m:\n    backends: [{worker: {path: nowhere/m, replicas: 0}}]\n")

    with pytest.raises(ConfigError) as raised:
        load(str(path))
    replicas, missing = sorted(raised.value.faults, key=lambda fault: "nowhere" in fault)
    assert "replicas: expected at least 1, got 0" in replicas
    assert "path: nowhere/m does not exist" in missing
