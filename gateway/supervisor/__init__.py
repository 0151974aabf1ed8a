# SPDX-License-Identifier: Apache-2.0
"""The supervisor: a small process that starts, watches and ends the other three kinds.

It holds the listening sockets, so that a port is never free while a process is started anew.
It loads no model and answers no request.
"""

from __future__ import annotations

from gateway.supervisor.serve import run

__all__ = ["run"]
