# SPDX-License-Identifier: Apache-2.0
"""`infergate bench` and `infergate bench history`: questions, how they are answered, and what is
written down.
"""
