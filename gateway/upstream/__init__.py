# SPDX-License-Identifier: Apache-2.0
"""Endpoints, their health, the policy that picks one, and the transports that reach them."""
