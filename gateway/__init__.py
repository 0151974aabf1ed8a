# SPDX-License-Identifier: Apache-2.0
"""Infergate: a reverse-proxy inference gateway.

The gateway is ``async (InferRequest) -> InferResponse``; every concern is a stage that wraps
that function, and `pipeline.py` lists the stages in the order in which a request meets them.
"""

__version__ = "0.1.0"
