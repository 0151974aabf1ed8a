# SPDX-License-Identifier: Apache-2.0
"""Secret: what is read from a file, what is wrong with it, and that nobody is shown it."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from gateway.config import Config, load
from gateway.config.load import read
from gateway.config.placement import placed
from gateway.config.secret import MOST, Secret, read_secret
from gateway.control.difference import needing_restart
from gateway.control.masking import shown
from gateway.errors import ConfigError
from gateway.supervisor.plan import worker_child

HIDDEN = "s3cr3t-and-long"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with HIDDEN in it."""
    file = tmp_path / "token"
    file.write_text(f"{HIDDEN}\n")
    return file


def config(headers: str, rest: str = "") -> Config:
    """A configuration with a server elsewhere that is asked with *headers*."""
    text = (
        "models:\n  m:\n    backends:\n      - url: http://models.internal\n"
        f"        remote:\n          headers: {headers}\n{rest}"
    )
    return read(text, name="test.yaml", environment={"SCHEME": "Bearer"}, files=False)


def header(found: Config) -> str:
    """The value of the one header."""
    return found.models["m"].backends[0].remote.headers["Authorization"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_is_the_content_of_the_file_without_its_last_line_break(path: Path, end: str) -> None:
    """As a whole value, and within one, beside the environment."""
    path.write_bytes(f"  {HIDDEN}{end}".encode())
    assert read_secret(str(path)) == f"  {HIDDEN}"
    path.write_text(f"{HIDDEN}{end}")
    assert header(config(f"{{Authorization: 'file:{path}'}}")) == HIDDEN
    within = f"{{Authorization: '${{SCHEME}} ${{file:{path}}}'}}"
    assert header(config(within)) == f"Bearer {HIDDEN}"


def test_what_it_holds_is_not_looked_into(path: Path) -> None:
    """A secret may look like a reference."""
    for text in ("${HOME}", "file:/etc/hostname"):
        path.write_text(text)
        assert header(config(f"{{Authorization: 'file:{path}'}}")) == text


def test_a_default_may_look_like_a_file() -> None:
    """That is how the text itself is written."""
    assert header(config("{Authorization: '${NONE:-file:x}'}")) == "file:x"


def test_a_missing_file_is_a_fault_with_its_line_and_path(tmp_path: Path) -> None:
    """And says which file."""
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError) as refused:
        config(f"\n            Authorization: file:{missing}")
    (fault,) = refused.value.faults
    where, why = fault.split(": ", 1)
    assert where == "test.yaml:7"
    assert why == (
        "models.m.backends[0].remote.headers.Authorization: "
        f"the file {missing} cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"abc\xff", "is not text in UTF-8"),
        (b"x" * (MOST + 1), f"is larger than {MOST} bytes"),
    ],
    ids=["empty", "only a line break", "bytes", "large"],
)
def test_a_file_that_holds_no_secret_is_a_fault(path: Path, data: bytes, why: str) -> None:
    """Of which nothing is shown."""
    path.write_bytes(data)
    with pytest.raises(ValueError, match=why) as refused:
        read_secret(str(path))
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize("given", ["", "a\0b"])
def test_what_is_no_path_is_a_fault(given: str) -> None:
    """Not an error of the system's that ends the program."""
    with pytest.raises(ValueError, match="path"):
        read_secret(given)


@pytest.mark.parametrize(
    "place",
    ["server: {timeout: 'file:%s'}", "server: {http: 'file:%s'}", "server: {processes: 'file:%s'}",
     "server: {log_level: 'file:%s'}",
     "cache: {max_bytes: 'x${file:%s}'}"],
)  # fmt: skip
@pytest.mark.parametrize("text", [HIDDEN, HIDDEN * 10, f"{HIDDEN}\t{HIDDEN}"])
def test_no_fault_shows_it(path: Path, place: str, text: str) -> None:
    """Where it does not fit, what stands in the file of the configuration is quoted."""
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        config("{}", place % path)
    (fault,) = refused.value.faults
    assert HIDDEN[:6] not in fault
    assert "expected " in fault
    assert str(path)[:20] in fault


def test_no_section_that_quotes_its_values_shows_it(path: Path) -> None:
    """What a section says of several of them together included."""
    path.write_text("http://169.254.169.254")
    with pytest.raises(ConfigError) as refused:
        read(f"models: {{m: {{backends: [{{url: 'file:{path}'}}]}}}}", name="t", files=False)
    assert "http://169.254" not in str(refused.value)


def test_nothing_that_shows_a_configuration_shows_it(path: Path) -> None:
    """The dump, the difference, an object in a log."""
    before = config("{}", f"server: {{tenant_header: '${{file:{path}}}'}}")
    path.write_text("0ther")
    after = config("{}", f"server: {{tenant_header: '${{file:{path}}}'}}")
    (line,) = needing_restart(before, after)
    assert line == ("server.tenant_header: *** is in the file, *** in effect until the next start")
    assert shown(after)["server"]["tenant_header"] == "***"
    for each in (before, after):
        for told in (repr(each), str(shown(each)), logging.Formatter().format(record(each))):
            assert HIDDEN not in told
            assert "0ther" not in told


def record(value: object) -> logging.LogRecord:
    """A line of a log about *value*."""
    return logging.LogRecord("x", logging.INFO, "x", 1, "%r", (value,), None)


def test_is_used_like_any_text() -> None:
    """It is equal to it, and put into text as itself."""
    secret = Secret(HIDDEN)
    assert secret == HIDDEN
    assert f"Bearer {secret}" == f"Bearer {HIDDEN}"
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def worker(text: str) -> Config:
    """A configuration with a worker whose environment, and steps, are *text*."""
    return read(
        f"models: {{m: {{backends: [{{worker: {{path: m{text}}}]}}}}", name="t", files=False
    )


def test_a_worker_gets_it_in_its_environment(path: Path) -> None:
    """Another secret is another worker, which a reload starts."""
    first = worker(f", env: {{KEY: 'file:{path}'}}}}")
    (before,) = placed(first)
    (child,) = [worker_child(first, before, runtime="r", environment={})]
    assert child.env["KEY"] == HIDDEN
    (same,) = placed(worker(f", env: {{KEY: '{HIDDEN}'}}}}"))
    assert same.recipe == before.recipe
    path.write_text("0ther")
    (after,) = placed(worker(f", env: {{KEY: 'file:{path}'}}}}"))
    assert after.recipe != before.recipe
    assert HIDDEN not in repr((first, before))


def test_an_address_from_a_file_is_a_name_like_any_other(path: Path) -> None:
    """Endpoints are shown by it."""
    path.write_text("unix:worker.sock")
    found = read(
        f"models: {{m: {{backends: [{{address: 'file:{path}'}}]}}}}", name="t", files=False
    )
    place = found.models["m"].backends[0].place("m")
    assert (type(place), place) == (str, "unix:worker.sock")


def test_steps_take_none(path: Path) -> None:
    """They are told to clients, and are part of the cache's keys."""
    with pytest.raises(ConfigError) as refused:
        read(
            "models: {m: {backends: [{address: 'unix:x'}], "
            f"postprocess: [{{labels: {{names: ['file:{path}']}}}}]}}}}",
            name="t",
            files=False,
        )
    (fault,) = refused.value.faults
    assert "expected a value here, not one from a file" in fault
    assert HIDDEN not in fault


def test_load_reads_it_anew(path: Path, tmp_path: Path) -> None:
    """A reload finds what is there by then."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "models: {m: {backends: [{url: http://x, remote: "
        f"{{headers: {{Authorization: 'file:{path}'}}}}}}]}}}}"
    )
    assert header(load(str(file))) == HIDDEN
    path.write_text("0ther")
    assert header(load(str(file))) == "0ther"
