# SPDX-License-Identifier: Apache-2.0
"""Pictures: the step `image` beside what is written by hand, and the loop of a gateway with it.

    python -m benchmarks.pictures [--rounds 5] [--seconds 20] [--rate 50]

By hand is what documentation shows: Pillow and numpy, a picture after the other. The results must
be equal, bit for bit, before anything is timed. The gateway serves a model that costs little;
pictures come at fixed instants, as raw uploads, and the lag of its event loop is its own metric.
"""

import argparse
import asyncio
import io
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import numpy as np
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.machine import commit, facts
from benchmarks.processes import BenchmarkError, Program, Server, free_port
from gateway.steps import PREPROCESS, bind_inputs
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.pictures import jpeg

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SIZES = ((375, 500), (768, 1024), (1536, 2048))
BATCHES = (1, 32)
OPTIONS = {"resize": {"shorter": 256}, "crop": 224, "normalize": "imagenet"}
LAG = re.compile(r'infergate_loop_lag_seconds_bucket\{(?:[^}]*,)?le="([^"]+)"[^}]*\} (\d+)')


def by_hand(data: bytes) -> np.ndarray[Any, Any]:
    """One picture as torchvision's recipe for ImageNet has it, FP32 [3, 224, 224]."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = picture.size
    short = min(width, height)
    width, height = int(256 * width / short), int(256 * height / short)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    picture = picture.crop((left, top, left + 224, top + 224))
    pixels = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def kernel() -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """The step, ready for a model of the usual input."""
    spec = TensorSpec("x", "FP32", (-1, 3, 224, 224))
    info = ModelInfo("m", "1", "onnxruntime", "0" * 64, (spec,), (), batched=True)
    step = msgspec.convert(OPTIONS, PREPROCESS["image"])
    return bind_inputs(info, [step])


class Cost(NamedTuple):
    """Seconds of one call: *wall* passed, *processor* were spent by all threads together."""

    wall: float
    processor: float


def cost(act: Callable[[], object], least: float = 1.0) -> Cost:
    """The mean of *act* over at least *least* seconds.

    What others do on the machine shows in the first figure, hardly in the second.
    """
    act()
    count, began, spent = 0, time.perf_counter(), time.process_time()
    while (wall := time.perf_counter() - began) < least:
        act()
        count += 1
    return Cost(wall / count, (time.process_time() - spent) / count)


def beside_hand(rounds: int) -> list[str]:
    """A table line for each size and batch."""
    step, rng = kernel(), np.random.default_rng(1)
    lines = []
    for height, width in SIZES:
        for rows in BATCHES:
            pictures = [jpeg(rng, height, width, quality=90) for _ in range(rows)]
            elements = np.empty(rows, object)
            elements[:] = pictures
            given = (Tensor.of("x", elements),)
            ours = step(given)[0].array()
            if not np.array_equal(ours, np.stack([by_hand(data) for data in pictures])):
                raise BenchmarkError("the step and the code by hand differ")
            hand, made = [], []
            for _ in range(rounds):
                hand.append(cost(lambda p=pictures: np.stack([by_hand(d) for d in p])))  # type: ignore[misc]
                made.append(cost(lambda g=given: step(g)))  # type: ignore[misc]
            pairs = list(zip(hand, made, strict=True))
            cells = [
                f"{width} x {height}",
                f"{len(pictures[0]) / 1024:.0f}",
                str(rows),
                _spread([rows / each.wall for each in hand]),
                _spread([rows / each.wall for each in made]),
                _spread([one.wall / other.wall for one, other in pairs], 2),
                _spread([each.processor / rows * 1000 for each in hand], 2),
                _spread([each.processor / rows * 1000 for each in made], 2),
                _spread([one.processor / other.processor for one, other in pairs], 2),
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr)
    return lines


def _spread(values: Sequence[float], digits: int = 0) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


async def buckets(session: aiohttp.ClientSession) -> dict[str, int]:
    """How often the loop's timer was late by no more than each bound."""
    async with session.get("/metrics") as answer:
        found = {bound: int(count) for bound, count in LAG.findall(await answer.text())}
    if "+Inf" not in found:
        raise BenchmarkError("the gateway does not tell the lag of its loop")
    return found


def shares(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """The part of the samples between two looks that was late by no more than each bound."""
    count = after["+Inf"] - before["+Inf"]
    return {bound: (after[bound] - before[bound]) / count for bound in after}


async def ready(session: aiohttp.ClientSession, server: Server) -> None:
    """Wait until *server* answers inference."""
    async with asyncio.timeout(60):
        while True:
            server.check()
            with suppress(aiohttp.ClientError):
                async with session.get("/v2/health/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def load(
    url: str, server: Server, pictures: Sequence[bytes], rate: float, duration: float
) -> str:
    """A table line of one round: pictures at fixed instants, and what became of the loop.

    Before them the gateway is left alone, and then asked as often with tensors that are made
    already: what else the machine does shows there, too.
    """
    latencies: list[float] = []
    tensor = ("t", bytes(3 * 224 * 224 * 4), {"Inference-Header-Content-Length": "0"})
    async with aiohttp.ClientSession(url) as session:
        await ready(session, server)

        async def ask(number: int, due: float, *, encoded: bool = True) -> None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            picture = pictures[number % len(pictures)]
            asked = ("m", picture, {"Content-Type": "image/jpeg"}) if encoded else tensor
            name, body, headers = asked
            async with session.post(
                f"/v2/models/{name}/infer", data=body, headers=headers
            ) as answer:
                if answer.status != 200:
                    raise BenchmarkError(f"{answer.status}: {await answer.text()}")
                await answer.read()
            latencies.append(time.perf_counter() - due)

        # Connections are opened and the model's first runs are made before anything counts.
        began = time.perf_counter()
        await asyncio.gather(*(ask(n, began + n / rate) for n in range(int(rate * 2))))
        latencies.clear()
        rest = await buckets(session)
        await asyncio.sleep(duration)
        plain, began = await buckets(session), time.perf_counter()
        count = int(rate * duration)
        await asyncio.gather(*(ask(n, began + n / rate, encoded=False) for n in range(count)))
        latencies.clear()
        before, began = await buckets(session), time.perf_counter()
        await asyncio.gather(*(ask(n, began + n / rate) for n in range(count)))
        after = await buckets(session)
    idle, made, within = shares(rest, plain), shares(plain, before), shares(before, after)
    worst = next(bound for bound, share in within.items() if share >= 0.99)
    cuts = statistics.quantiles(latencies, n=100)
    return (
        f"{idle['0.005']:.1%} | {made['0.005']:.1%} | {within['0.005']:.1%} | "
        f"{within['0.0025']:.1%} | "
        f"{float(worst) * 1000:g} | {cuts[49] * 1000:.1f} | {cuts[98] * 1000:.1f} |"
    )


def means(path: Path) -> None:
    """Write a model of `x` FP32 [-1, 3, 224, 224] that gives the mean of each channel."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["y"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())


def through_a_gateway(rounds: int, rate: float, duration: float) -> list[str]:
    """A table line for each round at each size; each has a gateway of its own."""
    rng, lines = np.random.default_rng(2), []
    for height, width in SIZES[:2]:
        pictures = [jpeg(rng, height, width, quality=90) for _ in range(16)]
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="p") as directory:
                means(Path(directory) / "m" / "1" / "model.onnx")
                config = Path(directory) / "c.yaml"
                port = free_port()
                config.write_text(
                    f"server: {{http: '127.0.0.1:{port}', admin: '127.0.0.1:0'}}\n"
                    "models:\n"
                    f"  m: {{backends: [{{worker: {{path: {directory}/m}}}}],\n"
                    "    preprocess: [{image: {resize: {shorter: 256}, crop: 224,\n"
                    "      normalize: imagenet}}]}\n"
                    f"  t: {{backends: [{{worker: {{path: {directory}/m}}}}]}}\n"
                )
                argv = [sys.executable, "-m", "gateway", "serve", "-c", str(config)]
                with Server([Program(argv)]) as server:
                    asked = load(f"http://127.0.0.1:{port}", server, pictures, rate, duration)
                    line = asyncio.run(asked)
            lines.append(f"| {width} x {height} | {rate:g} | {line}")
            print(lines[-1], file=sys.stderr)
    return lines


def main() -> None:
    """Measure, and print a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50)
    asked = parser.parse_args()
    name, changed = commit()
    hand = beside_hand(asked.rounds)
    gateway = through_a_gateway(asked.rounds, asked.rate, asked.seconds)
    rows = [f"| {key} | {value} |" for key, value in facts().items() if key != "Programs"]
    print(f"# Pictures, commit {name}{' (changed)' if changed else ''}\n")
    print("| | |\n| --- | --- |")
    print("\n".join(rows))
    print(f"\nMedians over {asked.rounds} rounds, with the lowest and the highest.")
    print("\n## The step beside Pillow and numpy by hand\n")
    print(
        "| JPEG | KiB | rows | by hand, rows/s | step, rows/s | ratio | "
        "by hand, ms of a core a row | step | ratio |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(hand))
    print("\n## A gateway that decodes\n")
    print(
        "| JPEG | a second | loop late by 5 ms at most, idle | with tensors | with pictures | "
        "by 2.5 ms at most | 99 % are within, ms | p50 of an answer, ms | p99, ms |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(gateway))


if __name__ == "__main__":
    main()
