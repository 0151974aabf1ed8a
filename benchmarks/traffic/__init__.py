# SPDX-License-Identifier: Apache-2.0
"""Overload and slow workers: the gateway beside HAProxy and nginx before the same servers."""
