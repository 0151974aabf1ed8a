# SPDX-License-Identifier: Apache-2.0
"""The commands that look at and change a running gateway, through its admin port."""

from gateway.admin.backends import backends, reload
from gateway.admin.cache import cache
from gateway.admin.candidates import candidates
from gateway.admin.drift import drift, probes
from gateway.admin.quality import quality

__all__ = ["backends", "cache", "candidates", "drift", "probes", "quality", "reload"]
