# SPDX-License-Identifier: Apache-2.0
"""A seeded simulation: the gateway's own code over workers that exist in virtual time only."""
