# SPDX-License-Identifier: Apache-2.0
"""Document: a configuration as a file has it, with a setting put into it."""

from __future__ import annotations

import difflib
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.config.backend import WorkerConfig
from gateway.config.load import load
from gateway.config.server import ServerConfig
from gateway.errors import ConfigError
from gateway.lab import LabError
from gateway.lab.tune.setting import Setting
from gateway.stages.batch_options import BatchConfig

# Free ports of this host alone, so that a trial meets no server that runs already.
_FREE: Final = "127.0.0.1:0"
_PORTS: Final = ("http", "admin", "grpc")
_WORKER: Final = ("replicas", "threads", "instances", "optimization", "arena", "spinning")


class Document:
    """A configuration *tree* in which the worker *backend* of *model* is tuned."""

    def __init__(self, tree: dict[str, Any], model: str, backend: int, path: str) -> None:
        self._tree = tree
        self.model = model
        self.backend = backend
        self.path = path

    def __repr__(self) -> str:
        return f"<Document {self.model}, worker {self.path}>"

    @classmethod
    def of_model(cls, name: str, path: str) -> Document:
        """The smallest configuration that serves the model at *path*."""
        return cls({"models": {name: {"backends": [{"worker": {"path": path}}]}}}, name, 0, path)

    @classmethod
    def of_file(cls, file: str, model: str) -> Document:
        """That in *file*, whose *model* has a worker of our own; raises LabError."""
        try:
            config = load(file)
        except ConfigError as error:
            raise LabError(error.faults[0]) from None
        section = config.models.get(model)
        if section is None:
            raise LabError(f"{file}: no model '{model}'; there are: {', '.join(config.models)}")
        workers = [
            (place, each.worker)
            for place, each in enumerate(section.backends)
            if each.worker is not None
        ]
        if len(workers) != 1:
            raise LabError(
                f"{file}: model '{model}' has {len(workers)} worker backends; expected one to tune"
            )
        tree = yaml.safe_load(Path(file).read_text(encoding="utf-8-sig"))
        place, worker = workers[0]
        return cls(tree, model, place, worker.path)

    @property
    def steps(self) -> bool:
        """Whether clients send something else than the model takes."""
        section = self._section(self._tree)
        return bool(section.get("preprocess") or section.get("postprocess"))

    def start(self) -> Setting:
        """The setting that it has now."""
        backend = self._backend(self._tree)
        worker = backend["worker"]
        section = self._section(self._tree)
        defaults = WorkerConfig(path=self.path)
        return Setting(
            **{name: worker.get(name, getattr(defaults, name)) for name in _WORKER},
            max_rows=(section.get("batch") or {}).get("max_rows", BatchConfig().max_rows),
            max_concurrency=backend.get("max_concurrency", "auto"),
            cache=section.get("cache") is not None,
        )

    def text(self, setting: Setting, path: str | None = None) -> str:
        """The file with *setting* in it; *path* is the model in another precision."""
        return _yaml(self._with(setting, path))

    def trial(self, setting: Setting, path: str | None = None) -> str:
        """The file of a trial: this model alone, on free ports."""
        tree = self._with(setting, path)
        tree["models"] = {self.model: self._section(tree)}
        server = dict(tree.get("server") or {})
        known = ServerConfig.__struct_fields__
        tree["server"] = server | {name: _FREE for name in _PORTS if name in known}
        return _yaml(tree)

    def difference(self, setting: Setting, path: str | None = None) -> str:
        """What *setting* changes, as a unified difference without file names."""
        before, after = _yaml(self._tree), self.text(setting, path)
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
        return "\n".join(list(lines)[3:])

    def _with(self, setting: Setting, path: str | None) -> dict[str, Any]:
        tree = deepcopy(self._tree)
        section, backend = self._section(tree), self._backend(tree)
        changed = setting.changed(self.start())
        for name in changed:
            value = getattr(setting, name)
            if name in _WORKER:
                backend["worker"][name] = value
            elif name == "max_rows":
                batch = dict(section.get("batch") or {}) | {"max_rows": value}
                if "queue_rows" in batch:
                    batch["queue_rows"] = max(batch["queue_rows"], value)
                section["batch"] = batch
            elif name == "max_concurrency":
                backend["max_concurrency"] = value
            elif name == "cache" and not value:
                section.pop("cache", None)
            elif name == "cache":
                section["cache"] = {}
        if path is not None:
            backend["worker"]["path"] = path
            backend["worker"].pop("version", None)
        return tree

    def _section(self, tree: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = tree["models"][self.model]
        return section

    def _backend(self, tree: dict[str, Any]) -> dict[str, Any]:
        backend: dict[str, Any] = self._section(tree)["backends"][self.backend]
        return backend


def _yaml(tree: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)
    return text
