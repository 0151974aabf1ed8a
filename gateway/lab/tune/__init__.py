# SPDX-License-Identifier: Apache-2.0
"""Tune: the settings under which a deployment carries most traffic within its SLO, and why.

A `Setting` is tried by a `Bench`, which gives a `Measured`. `search` decides what is tried next,
`confirm` measures the best again in turns, and `reasons` says what came of it. Only `bench` starts
processes; everything else is decided on plain values.
"""
