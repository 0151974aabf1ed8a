# SPDX-License-Identifier: Apache-2.0
"""Figures: how right each model is now, kept in memory as labels come and read when asked for."""
