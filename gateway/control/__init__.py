# SPDX-License-Identifier: Apache-2.0
"""The control process: what operators see of a running gateway, on a port of its own.

No request for a prediction depends on it: the data plane serves on while it is down.
"""
