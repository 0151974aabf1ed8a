# SPDX-License-Identifier: Apache-2.0
"""Where the time of a request goes, what the processes used, and what to change first.

`Watch` reads a server's metrics and processes before and after a run, `account` makes spans of
what they and ``Server-Timing`` say, and `bottleneck` names the cause by rules.
"""
