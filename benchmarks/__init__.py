# SPDX-License-Identifier: Apache-2.0
"""Measure the gateway beside its peers, in one run: `python -m benchmarks --help`."""
