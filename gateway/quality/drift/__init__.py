# SPDX-License-Identifier: Apache-2.0
"""Drift: whether what comes in and goes out is still like what it was, and whether that matters."""
