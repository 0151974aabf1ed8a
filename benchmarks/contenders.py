# SPDX-License-Identifier: Apache-2.0
"""Who is measured: how each is started, what it is sent and how its answers are judged."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import models, payloads
from benchmarks.payloads import Expected, Payload, Rows
from benchmarks.processes import ROOT, Program, find, free_port, python

HERE = Path(__file__).parent
RIVALS = HERE / "rivals"
CONFIGS = HERE / "configs"
DIGITS = ROOT / "models" / "digits" / "1" / "model.onnx"
# Under a directory that version control leaves out; configs/images.yaml names it too.
IMAGES = HERE / "build" / "images"
DIGITS_SCALE = 0.0625
# Enough rows that nothing is answered from a habit of the processor's caches.
DIGIT_ROWS = 256
IMAGE_ROWS = 16


@dataclass(frozen=True)
class Place:
    """Where a contender may listen and write while it runs."""

    port: int
    directory: Path


Plan = tuple[list[Program], dict[str, str]]


@dataclass(frozen=True)
class Contender:
    """One server under test, for one kind of request."""

    name: str
    about: str
    payload: Payload
    plan: Callable[[Place], Plan]
    expected: Sequence[Expected] | None = None
    constant: bytes | None = None

    def judge(self, number: int, body: bytes) -> str | None:
        """What is wrong with the answer to request *number*; None when it is right."""
        if self.expected is not None:
            return payloads.fault(body, self.expected[number])
        return None if body == self.constant else f"answered {body[:200]!r}"


@dataclass(frozen=True)
class Loop:
    """The bare onnxruntime loop: processes of one thread each, no server."""

    name: str
    about: str
    model: Path
    rows: Rows = field(repr=False)
    processes: int


def gateway(
    name: str, about: str, config: str, payload: Payload, truth: list[Expected]
) -> Contender:
    """This project's gateway with one of the configurations beside this file."""

    def plan(place: Place) -> Plan:
        listen = f"127.0.0.1:{place.port}"
        argv = python("-m", "gateway", "serve", "-c", str(CONFIGS / config), "--http", listen)
        return [Program(argv)], {}

    return Contender(name, about, payload, plan, expected=truth)


def fastapi(payload: Payload, truth: list[Expected], workers: int) -> Contender:
    """FastAPI on uvicorn with uvloop and httptools."""

    def plan(place: Place) -> Plan:
        argv = python("-m", "uvicorn", "benchmarks.rivals.fastapi_app:app")
        argv += ["--workers", str(workers), "--port", str(place.port)]
        argv += ["--loop", "uvloop", "--http", "httptools"]
        argv += ["--no-access-log", "--log-level", "warning"]
        return [Program(argv)], {"BENCH_MODEL": str(DIGITS), "BENCH_SCALE": str(DIGITS_SCALE)}

    about = f"uvicorn with {workers} workers, uvloop and httptools; the model is called directly"
    return Contender("fastapi", about, payload, plan, expected=truth)


def mosec(
    name: str,
    payload: Payload,
    truth: list[Expected],
    *,
    kind: str,
    model: Path,
    scale: float,
    max_batch: int,
) -> Contender:
    """Mosec with two workers and dynamic batching."""

    def plan(place: Place) -> Plan:
        program = RIVALS / "mosec_app.py"
        argv = python(str(program), "--address", "127.0.0.1", "--port", str(place.port))
        argv += ["--path", str(place.directory / "mosec"), "--log-level", "error"]
        return [Program(argv)], {
            "BENCH_MODEL": str(model),
            "BENCH_SCALE": str(scale),
            "BENCH_INPUT": kind,
            "BENCH_ROUTE": payload.path,
            "BENCH_WORKERS": "2",
            "BENCH_MAX_BATCH": str(max_batch),
            "BENCH_MAX_WAIT_MS": "1",
        }

    about = f"2 workers, batches of up to {max_batch} within 1 ms"
    return Contender(name, about, payload, plan, expected=truth)


def proxy(name: str, payload: Payload, answer: bytes, threads: int) -> Contender:
    """Nginx or HAProxy, one hop before an nginx that answers every request with *answer*."""
    template, options = {
        "haproxy": ("haproxy.cfg", ["-db", "-f"]),
        "nginx": ("nginx-proxy.conf", ["-c"]),
    }[name]

    def plan(place: Place) -> Plan:
        values = {
            "directory": place.directory,
            "port": place.port,
            "upstream_port": free_port(),
            "threads": threads,
            "body": answer.decode(),
        }
        written = []
        for source in ("nginx-upstream.conf", template):
            written.append(place.directory / source)
            written[-1].write_text((RIVALS / source).read_text().format(**values))
        upstream, hop = written
        return [
            Program([find("nginx"), "-c", str(upstream)]),
            Program([find(name), *options, str(hop)]),
        ], {}

    about = f"bare hop over {threads} thread to an nginx that answers {len(answer)} constant bytes"
    return Contender(name, about, payload, plan, constant=answer)


def yardstick(directory: Path, payload: Payload, truth: list[Expected]) -> Contender:
    """A toy of two files, `gateway.py` and `worker.py`, that shows what features cost."""

    def plan(place: Place) -> Plan:
        socket = place.directory / "toy"
        worker = python(str(directory / "worker.py"), str(DIGITS), str(socket), "64")
        front = python(str(directory / "gateway.py"), str(place.port), "10", str(socket))
        return [Program(worker), Program(front, after=socket)], {}

    about = "a toy without errors, limits or features: one gateway and one worker process"
    return Contender("yardstick", about, payload, plan, expected=truth)


def constant_answer(first: Expected) -> bytes:
    """An answer of the size and form that the models give."""
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [first.label]},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [1, first.scores.size],
            # The shortest digits that give the same 32 bits back, as every contender writes them.
            "data": [float(str(score)) for score in first.scores],
        },
    ]
    return json.dumps({"model_name": "digits", "outputs": outputs}, separators=(",", ":")).encode()


def digits(yardstick_directory: Path | None) -> Mapping[str, Contender | Loop]:
    """All that serve the digits model, one JSON row a request."""
    with np.load(ROOT / "models" / "digits" / "test.npz") as data:
        rows = data["inputs"][:DIGIT_ROWS]
    payload = payloads.json_rows("digits", "image", rows)
    truth = payloads.expect(DIGITS, rows * DIGITS_SCALE)
    answer = constant_answer(truth[0])
    every: list[Contender | Loop] = [
        gateway("gateway", "this commit, all stages on, cache off", "digits.yaml", payload, truth),
        gateway("gateway-cached", "the same, every request a hit", "cached.yaml", payload, truth),
        proxy("haproxy", payload, answer, threads=1),
        proxy("nginx", payload, answer, threads=1),
        # Fastest of a scan over 1 to 3 workers, batches of 4 to 64 and waits of 1 to 10 ms: as
        # it waits for a batch to fill, one that clients cannot fill costs it the whole wait.
        mosec("mosec", payload, truth, kind="rows", model=DIGITS, scale=DIGITS_SCALE, max_batch=8),
        # The batch limit that the gateway has.
        mosec(
            "mosec-64", payload, truth, kind="rows", model=DIGITS, scale=DIGITS_SCALE, max_batch=64
        ),
        fastapi(payload, truth, workers=2),
        Loop("onnxruntime", "one row a run, 2 processes of 1 thread, no server", DIGITS, rows, 2),
    ]
    if yardstick_directory is not None:
        # It has no preprocessing, so its truth is the model's word on the raw pixels.
        every.append(yardstick(yardstick_directory, payload, payloads.expect(DIGITS, rows)))
    return {contender.name: contender for contender in every}


def images() -> Mapping[str, Contender | Loop]:
    """All that serve the compute-bound model, one binary image a request."""
    model = models.build(IMAGES)
    rows = models.images(IMAGE_ROWS)
    truth = payloads.expect(model, rows)
    binary = payloads.binary_rows("images", "image", rows)
    raw = payloads.raw_rows("/v2/models/images/infer", rows)
    every: list[Contender | Loop] = [
        gateway("gateway", "this commit, 2 workers of 1 thread", "images.yaml", binary, truth),
        mosec("mosec", raw, truth, kind="images", model=model, scale=1.0, max_batch=4),
        Loop("onnxruntime", "one image a run, 2 processes of 1 thread, no server", model, rows, 2),
    ]
    return {contender.name: contender for contender in every}
