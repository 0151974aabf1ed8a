# SPDX-License-Identifier: Apache-2.0
"""Probes: a labelled set asked again and again, of which no answer may ever change.

World drift never shows here, and there is no noise of sampling: whatever changes is a fault of
serving, at the first row.
"""
