# SPDX-License-Identifier: Apache-2.0
"""Checks over whole sections: what no field can know of itself, and what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.backend import WorkerConfig
from gateway.config.candidates import candidate, candidates
from gateway.config.root import Config, ModelConfig
from gateway.config.server import ServerConfig
from gateway.config.shadows import shadow, shadows, slices
from gateway.quality.drift.options import DriftConfig
from gateway.quality.probes.options import ProbeConfig
from gateway.stages.debug_options import GoldenConfig
from gateway.stages.sampling_options import SamplingConfig
from gateway.stores.options import MEMORY, RedisConfig
from gateway.stores.secrets import encryption_key, shared_secret
from gateway.tls import TlsConfig
from gateway.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from msgspec import Struct

    Check = Callable[[Any], Iterable[tuple[str, str]]]

# A set of labels is kept as the bits of one number.
_MOST_LABELS = 64


def server(section: ServerConfig) -> Iterator[tuple[str, str]]:
    """The two ports are two."""
    if section.http == section.admin and not section.http.endswith(":0"):
        yield "admin", f"is the same as http, {section.http}; expected another port"


def model(section: ModelConfig) -> Iterator[tuple[str, str]]:
    """No worker or server is listed twice, and what is cached goes by the question alone."""
    addresses = [each.place("").removeprefix("@") for each in section.backends]
    addresses = [address for address in addresses if address]
    for address in sorted({each for each in addresses if addresses.count(each) > 1}):
        yield "backends", f"the address {address} is there twice; expected each worker once"
    augment = section.augment
    if section.cache is not None and augment is not None and augment.goes_by_request():
        message = "noise with the seed request answers equal questions differently"
        yield "augment", f"{message}; expected the seed content in a model with a cache"
    yield from _quality(section)
    yield from candidate(section)
    files = [each.file for each in section.probes]
    for file in sorted({each for each in files if files.count(each) > 1}):
        yield "probes", f"the file {file} is there twice; expected each once"
    yield from shadow(section)
    yield from slices(section)


def _quality(section: ModelConfig) -> Iterator[tuple[str, str]]:
    """Classes have names of their own, and what is said of them is said of one there is."""
    quality = section.quality
    if quality is None:
        return
    if quality.task == "regression":
        if quality.classes is not None:
            yield "quality", "classes are not known to a regression; leave them out"
        return
    if quality.classes is None:
        yield "quality", "classes is missing; expected their number or their names"
        return
    names = quality.names
    if len(names) < 2:
        yield "quality", f"classes: there is {len(names)}; expected 2 or more"
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield "quality", f"classes: '{name}' is there twice; expected each class once"
    if quality.task == "multilabel" and len(names) > _MOST_LABELS:
        yield "quality", f"classes: {len(names)} labels; expected at most {_MOST_LABELS}"
    if quality.positive is not None and str(quality.positive) not in names:
        yield "quality", f"positive: there is no class '{quality.positive}'"


def config(section: Config) -> Iterator[tuple[str, str]]:
    """No cache takes entries that its store cannot hold, and what is shared is secret."""
    cached = any(each.cache is not None for each in section.models.values())
    if cached and section.cache.store != MEMORY and section.cache.redis.secret is None:
        message = (
            "redis.secret is missing; expected at least 16 characters, the same in all gateways "
            "that share the Redis: without it questions could be guessed from the keys"
        )
        yield "cache", message
    room = section.cache.max_bytes
    for name, each in section.models.items():
        if each.cache is not None and each.cache.max_entry_bytes > room:
            entry = format_size(each.cache.max_entry_bytes)
            message = (
                f"max_bytes is {format_size(room)}; the model {name} has entries up to {entry}"
            )
            yield "cache", message
    yield from candidates(section.models)
    yield from shadows(section.models)


def model_files(section: WorkerConfig) -> Iterator[tuple[str, str]]:
    """The model is where *section* says, in a form that a worker can find."""
    path = Path(section.path)
    try:
        if path.is_file():
            if path.suffix != ".onnx":
                yield "path", f"{path} is not an .onnx file; expected one, or a model directory"
            return
        if not path.is_dir():
            yield "path", f"{path} does not exist, seen from {Path.cwd()}"
            return
        versions = sorted(int(each.name) for each in path.iterdir() if each.name.isdecimal())
        if section.version is not None and section.version not in versions:
            there = ", ".join(map(str, versions)) or "none"
            yield "version", f"{path} has no version {section.version}; versions there: {there}"
        elif not versions:
            yield "path", f"{path} has no version directory; expected {path}/1/model.onnx"
        else:
            chosen = path / str(versions[-1] if section.version is None else section.version)
            if not (chosen / "model.onnx").is_file():
                yield "path", f"{chosen / 'model.onnx'} does not exist"
    except OSError as error:
        yield "path", f"{path} cannot be read: {error.strerror}"


def sampling(section: SamplingConfig) -> Iterator[tuple[str, str]]:
    """The secret is long enough to be one."""
    try:
        shared_secret(section.secret, "secret")
    except ValueError as error:
        key, _, why = str(error).partition(": ")
        yield key, why


def tls_files(section: TlsConfig) -> Iterator[tuple[str, str]]:
    """The certificates are where *section* says."""
    for name, path in (("ca", section.ca), ("cert", section.cert), ("key", section.key)):
        if path is not None and not Path(path).is_file():
            yield name, f"{path} is not a file, seen from {Path.cwd()}"


def redis(section: RedisConfig) -> Iterator[tuple[str, str]]:
    """Secrets are what they must be."""
    try:
        shared_secret(section.secret, "secret")
        for text in section.encryption_keys:
            encryption_key(text, "encryption_keys")
    except ValueError as error:
        key, _, why = str(error).partition(": ")
        yield key, why


def golden_file(section: GoldenConfig) -> Iterator[tuple[str, str]]:
    """The golden vectors are where *section* says."""
    if not Path(section.file).is_file():
        yield "file", f"{section.file} is not a file, seen from {Path.cwd()}"


def drift_file(section: DriftConfig) -> Iterator[tuple[str, str]]:
    """The reference is where *section* says, and is one."""
    if section.reference is None:
        return
    # Not at the top: numpy, which only such a file needs.
    from gateway.quality.drift.reference import Reference  # noqa: PLC0415

    try:
        reference = Reference.read(Path(section.reference).read_bytes())
    except OSError:
        yield "reference", f"{section.reference} is not a file, seen from {Path.cwd()}"
        return
    except ValueError as error:
        yield "reference", f"{section.reference}: {error}"
        return
    there = [each.name for each in reference.features]
    for name in section.features or ():
        if name not in there:
            message = f"{section.reference} has no '{name}'; there are: {', '.join(there)}"
            yield "features", message


def probe_file(section: ProbeConfig) -> Iterator[tuple[str, str]]:
    """The labelled set is where *section* says."""
    if not Path(section.file).is_file():
        yield "file", f"{section.file} is not a file, seen from {Path.cwd()}"


SECTIONS: dict[type[Struct], Check] = {
    Config: config,
    ModelConfig: model,
    RedisConfig: redis,
    SamplingConfig: sampling,
    ServerConfig: server,
}
FILES: dict[type[Struct], Check] = {
    WorkerConfig: model_files,
    TlsConfig: tls_files,
    GoldenConfig: golden_file,
    ProbeConfig: probe_file,
    DriftConfig: drift_file,
}
