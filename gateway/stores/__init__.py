# SPDX-License-Identifier: Apache-2.0
"""Where cached answers are kept."""
