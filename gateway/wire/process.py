# SPDX-License-Identifier: Apache-2.0
"""What a process of Infergate owes the supervisor that started it.

It says once that it is ready, it does not outlive its parent, and it serves on the listening
sockets that it was given. All three travel in the environment, so each program runs alone too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from typing import Final

READY_FD: Final = "INFERGATE_READY_FD"
PARENT: Final = "INFERGATE_PARENT_PID"
READY: Final = b"ready\n"
# A pipe takes this much in one piece.
MOST_SAID: Final = 4096

_PR_SET_PDEATHSIG: Final = 1


def announce_ready() -> None:
    """Tell whoever started this process that it serves; does nothing if nobody asked to know.

    A second call does nothing. A reader that has gone away is no error.
    """
    _announce(READY)


def announce_failure(why: str) -> None:
    """Tell whoever started this process, in one line, why it will never serve."""
    _announce(" ".join(why.split()).encode()[:MOST_SAID])


def _announce(said: bytes) -> None:
    fd = os.environ.pop(READY_FD, None)
    if fd is None:
        return
    try:
        os.write(int(fd), said)
    except BrokenPipeError:
        pass
    finally:
        os.close(int(fd))


def die_with_parent(parent: int | None = None, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send *by* to this process when the thread that started it ends.

    *parent* is the process id to expect, by default the one in the environment or, without one,
    the present parent. Raises SystemExit where the parent has gone already: the kernel sends
    nothing for what happened before it was asked.
    """
    if parent is None:
        parent = int(os.environ.get(PARENT) or os.getppid())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:
        raise SystemExit(1)


def socket_variable(name: str) -> str:
    """The environment variable that carries the descriptor of the socket *name*."""
    return f"INFERGATE_{name.upper()}_FD"


def inherited_socket(name: str) -> socket.socket | None:
    """The listening socket *name* (``http``, ``admin``) that this process was started with.

    It is bound, listening and non-blocking; None where the process was started alone and has to
    bind by itself. The second call gives None: the first caller owns the socket.
    """
    fd = os.environ.pop(socket_variable(name), None)
    if fd is None:
        return None
    inherited = socket.socket(fileno=int(fd))
    inherited.settimeout(0)
    return inherited
