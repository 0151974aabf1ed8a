# SPDX-License-Identifier: Apache-2.0
"""What the statistics of quality cost, and what others say of the same rows."""
