# SPDX-License-Identifier: Apache-2.0
"""The programs and configurations the gateway is measured against, each as its own users run it."""
