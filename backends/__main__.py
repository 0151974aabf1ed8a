# SPDX-License-Identifier: Apache-2.0
"""The worker program: `python -m backends MODEL --listen unix:PATH|tcp:HOST:PORT`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

from backends.errors import StartError
from gateway.wire.process import announce_failure, die_with_parent

BAD_INPUT = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Complain in one line, as every other error at the start does."""
        raise StartError("arguments", f"{message}; see --help")


def main(argv: list[str] | None = None) -> int:
    """Serve one model; returns the exit code: 0 after a drain, 2 for what cannot be served."""
    try:
        parser = _parser()
        options = parser.parse_args(argv)
        if not options.listen and not options.describe:
            parser.error("the following arguments are required: --listen")
        if options.die_with_parent:
            die_with_parent(by=signal.SIGTERM)
        from backends.worker import serve  # noqa: PLC0415 - a mistyped option is told at once

        return serve(options)
    except StartError as error:
        sys.stderr.write(f"infergate worker: {' '.join(str(error).split())}\n")
        announce_failure(str(error))
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="infergate worker",
        description="Serve one ONNX model as frames over a Unix socket or TCP.",
        epilog="There is no authentication: listen on TCP in a trusted network only.",
    )
    parser.add_argument(
        "model", type=Path, help="MODEL with MODEL/VERSION/model.onnx, or FILE.onnx"
    )
    parser.add_argument("--listen", default="", metavar="unix:PATH|tcp:HOST:PORT")
    parser.add_argument("--describe", action="store_true",
                        help="print what the model takes and gives as JSON, and end")  # fmt: skip
    parser.add_argument("--name", default="", help="name of the model (default: of its directory)")
    parser.add_argument("--version", default="", help="version to serve (default: the highest)")
    parser.add_argument("--batched", choices=("auto", "yes", "no"), default="auto",
                        help="may requests be merged along the first dimension?")  # fmt: skip
    parser.add_argument("--threads", type=_count, default=1, help="threads inside an operator")
    parser.add_argument("--inter-threads", type=_count, default=1, help="operators side by side")
    parser.add_argument("--instances", type=_count, default=1, help="inferences at the same time")
    parser.add_argument("--optimization", default="all",
                        choices=("none", "basic", "extended", "all"))  # fmt: skip
    parser.add_argument("--providers", default="CPUExecutionProvider", metavar="NAME,...")
    parser.add_argument("--arena", type=_switch, default=True, metavar="on|off",
                        help="keep freed memory for the next run (default on)")  # fmt: skip
    parser.add_argument("--spinning", type=_switch, default=False, metavar="on|off",
                        help="let idle operator threads spin (default off)")  # fmt: skip
    parser.add_argument("--warmup", type=_whole, default=3, metavar="N",
                        help="inferences before it says ready (default 3)")  # fmt: skip
    parser.add_argument("--warmup-data", type=Path, metavar="FILE.npz",
                        help="an array for each input (default: made up)")  # fmt: skip
    parser.add_argument("--busy-poll", type=_seconds, default=0.0, metavar="SECONDS",
                        help="look for more so long after a request (default 0)")  # fmt: skip
    parser.add_argument("--grace", type=_seconds, default=30.0, metavar="SECONDS",
                        help="how long a drain may take (default 30)")  # fmt: skip
    parser.add_argument("--die-with-parent", action="store_true",
                        help="drain and end when the parent process ends")  # fmt: skip
    return parser


def _count(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 expected, not '{text}'")
    return number


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"a whole number expected, not '{text}'")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds expected, not '{text}'")
    return seconds


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise argparse.ArgumentTypeError(f"'on' or 'off' expected, not '{text}'")
    return text == "on"


if __name__ == "__main__":
    sys.exit(main())
