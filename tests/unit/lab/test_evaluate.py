# SPDX-License-Identifier: Apache-2.0
"""What `infergate evaluate` refuses before it sends anything."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.lab.evaluate import run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "missing.npz"}, "missing.npz: no such file"),
        ({"url": "nowhere"}, "URL 'nowhere': expected http://HOST:PORT"),
        ({"batch": 0}, "batch 0, concurrency 4: expected 1 or more"),
        ({"concurrency": 0}, "expected 1 or more"),
        ({"load": 0}, "load 0: expected 1 or more requests in flight"),
        ({"level": 95}, "level 95: expected a share between 0 and 1"),
        ({"protocol": "v9"}, "protocol 'v9': expected one of"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    message: str,
) -> None:
    """Nothing is sent, no traceback is shown."""
    path = tmp_path / "set.npz"
    np.savez(path, inputs=np.ones((2, 1)), labels=np.ones(2, dtype=int))

    code = run(**{"url": "http://127.0.0.1:9", "model": "m", "data": str(path)} | options)

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.startswith("infergate evaluate: ")
    assert message in err
    assert err.count("\n") == 1
