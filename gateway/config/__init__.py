# SPDX-License-Identifier: Apache-2.0
"""Configuration: a YAML file becomes frozen structs, or the full list of its faults."""

from gateway.config.backend import BackendConfig, WorkerConfig
from gateway.config.load import load
from gateway.config.root import Config, ModelConfig
from gateway.config.server import ServerConfig

__all__ = ["BackendConfig", "Config", "ModelConfig", "ServerConfig", "WorkerConfig", "load"]
