# SPDX-License-Identifier: Apache-2.0
"""What a person writes means what it should, or is refused in one line that names the option."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.lab import LabError
from gateway.lab.load import options
from gateway.lab.load.run import Schedule


@pytest.mark.parametrize(
    ("schedule", "rate", "concurrency", "trace", "expected"),
    [
        (None, None, None, None, "closed"),
        (None, None, 8, None, "closed"),
        (None, 5.0, None, None, "poisson"),
        ("ramp", 5.0, None, None, "ramp"),
        (None, None, None, "t", "trace"),
        ("trace", 5.0, None, "t", "trace"),
    ],
)
def test_a_rate_makes_an_open_loop(
    schedule: Schedule | None,
    rate: float | None,
    concurrency: int | None,
    trace: str | None,
    expected: str,
) -> None:
    """Without one, answers decide when the next request is sent."""
    assert options.schedule_of(schedule, rate, concurrency, trace) == expected


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: options.schedule_of("ramp", None, None, None), "--schedule ramp needs --rate"),
        (lambda: options.schedule_of(None, 5.0, 8, None), "--concurrency is of a closed loop"),
        (lambda: options.schedule_of("trace", 5.0, None, None), "needs --trace FILE"),
        (lambda: options.schedule_of("ramp", 5.0, None, "t"), "leave out --schedule ramp"),
        (lambda: options.duration("--warmup", "5"), "--warmup: expected a time"),
        (lambda: options.share("--repeat", "20"), "--repeat: expected a share"),
        (lambda: options.addresses("--agents", "a:1,b"), "--agents: expected HOST:PORT"),
        (lambda: options.processes("0"), "--processes: expected auto or a number from 1"),
        (lambda: options.header("nothing"), "--header: expected 'NAME: VALUE'"),
        (lambda: options.header("X: ${NOT_THERE_7}"), "the environment has no NOT_THERE_7"),
        (lambda: options.header("X: a\r\nEvil: b"), "--header X: expected printable ASCII"),
        (lambda: options.shape("image:3x0"), "--shape: expected NAME:3x224x224"),
        (lambda: options.shape("3x4"), "--shape: expected"),
        (lambda: options.secret("/nowhere/file"), "--secret-file /nowhere/file: No such file"),
        (lambda: options.check_level(1.0), "--level 1: expected a share"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], says: str) -> None:
    """The option, and what would be right."""
    with pytest.raises(LabError) as refused:
        call()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that they stand in no list of processes; an error never repeats a value."""
    monkeypatch.setenv("TOKEN", "k3y")
    assert options.header("Authorization: Bearer ${TOKEN}") == ("Authorization", "Bearer k3y")

    monkeypatch.setenv("TOKEN", "k3y\x01")
    with pytest.raises(LabError) as refused:
        options.header("Authorization: Bearer ${TOKEN}")
    assert "k3y" not in str(refused.value)


def test_the_secret_of_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file, or in the environment."""
    path = tmp_path / "secret"
    path.write_text("of the file\n")
    monkeypatch.setenv(options.SECRET, "of the environment")

    assert options.secret(str(path)) == "of the file"
    assert options.secret(None) == "of the environment"
    path.write_text("\n")
    with pytest.raises(LabError, match="empty; expected a secret"):
        options.secret(str(path))


def test_shapes_and_addresses() -> None:
    """As they are written."""
    assert options.shape("a:b:3x224x224") == ("a:b", (3, 224, 224))
    assert options.addresses("--agents", "h:1, [::1]:2") == ["h:1", "[::1]:2"]
    assert options.addresses("--agents", None) == []
    assert options.processes("auto") == 0
    assert options.processes("3") == 3
