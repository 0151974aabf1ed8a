# SPDX-License-Identifier: Apache-2.0
"""How well the load generator measures: ``python -m benchmarks.load``."""
