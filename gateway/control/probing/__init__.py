# SPDX-License-Identifier: Apache-2.0
"""Probing: the control process asks endpoints and the data port what they must still answer."""
