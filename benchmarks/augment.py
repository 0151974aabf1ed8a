# SPDX-License-Identifier: Apache-2.0
"""What test-time augmentation is worth on shifted digits, through a running gateway.

``.venv/bin/python -m benchmarks.augment`` starts one with the digits model three times: as it is,
with views of every row, and with views of unsure rows only. It prints a table of accuracies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.lab.evaluate import run
from gateway.steps.sampling import resample, sampling
from gateway.steps.views import Shift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.wire.tensor import Array

ROOT: Final = Path(__file__).parents[1]
HELD_OUT: Final = ROOT / "models" / "digits" / "test.npz"
_BACK: Final = "[{identity: {}}, {shift: {x: -1}}]"
_AROUND: Final = (
    "[{identity: {}}, {shift: {x: 0.5}}, {shift: {x: -0.5}}, {shift: {y: 0.5}}, {shift: {y: -0.5}}]"
)
_FIT: Final = "shape: [8, 8], fill: 0"
MODELS: Final = {
    "plain": "",
    "back": f"augment: {{views: {_BACK}, {_FIT}}}",
    "back-below": f"augment: {{views: {_BACK}, {_FIT}, below: 0.95}}",
    "around": f"augment: {{views: {_AROUND}, {_FIT}}}",
}
CONFIG: Final = "server: {http: 127.0.0.1:0, admin: 127.0.0.1:0}\nmodels:\n" + "".join(
    f"""  {name}:
    backends: [{{worker: {{path: {ROOT / "models" / "digits"}}}}}]
    preprocess: [{{scale: {{factor: 0.0625}}}}]
    {section}
"""
    for name, section in MODELS.items()
)


def shifted(pictures: Array, view: Shift) -> Array:
    """Rows of 8 x 8 pixels under *view*, with 0 beyond the edge."""
    how = sampling(8, 8, view.affine(8, 8), clamp=False)
    return resample(pictures.reshape(-1, 64, 1), how, fill=0.0).reshape(pictures.shape)


def half_shifted(seed: int = 3) -> dict[str, Array]:
    """The held-out digits, every second one, by chance, a pixel too far to the right."""
    with np.load(HELD_OUT) as archive:
        inputs, labels = archive["inputs"].astype(np.float32), archive["labels"]
    chosen = np.random.default_rng(seed).random(len(inputs)) < 0.5
    inputs[chosen] = shifted(inputs[chosen], Shift(x=1))
    return {"inputs": inputs, "labels": labels}


def accuracies(url: str, data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What `infergate evaluate` says of each model."""
    for name in MODELS:
        report = data.with_suffix(f".{name}.json")
        with redirect_stdout(StringIO()):
            code = run(url, name, str(data), json=str(report))
        if code:
            raise SystemExit(code)
        yield name, json.loads(report.read_bytes())["accuracy"]


def main() -> None:
    """Serve, evaluate, print."""
    with tempfile.TemporaryDirectory() as directory:
        config, data = Path(directory) / "config.yaml", Path(directory) / "shifted.npz"
        config.write_text(CONFIG)
        rows = half_shifted()
        np.savez(data, inputs=rows["inputs"], labels=rows["labels"])
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "-c", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert gateway.stdout is not None  # noqa: S101 - it is a pipe
            url = gateway.stdout.readline().split(" on ")[1].split(" ")[0]
            print("| Data | Model | Accuracy | 95 % interval | n |")
            print("| --- | --- | --- | --- | --- |")
            for kind, file in (("as held out", HELD_OUT), ("half shifted", data)):
                for name, found in accuracies(url, _copied(file, Path(directory))):
                    interval = f"{found['lower']:.4f} to {found['upper']:.4f}"
                    print(f"| {kind} | {name} | {found['value']:.4f} | {interval} | 450 |")
        finally:
            gateway.terminate()
            gateway.wait(30)


def _copied(file: Path, directory: Path) -> Path:
    """*file* where reports may be written beside it."""
    copy = directory / f"copy-{file.name}"
    copy.write_bytes(file.read_bytes())
    return copy


if __name__ == "__main__":
    main()
