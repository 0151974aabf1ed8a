# SPDX-License-Identifier: Apache-2.0
"""Quality: how right the answers are. Predictions meet their labels in the control process.

The request path knows nothing of it: gateway processes hand over samples and go on.
"""
