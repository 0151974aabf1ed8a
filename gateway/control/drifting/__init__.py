# SPDX-License-Identifier: Apache-2.0
"""Drifting: the control process follows what models are asked, and tells when it has changed."""
