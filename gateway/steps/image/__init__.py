# SPDX-License-Identifier: Apache-2.0
"""The step ``image``. What decodes is imported once a model has the step: it is an extra."""

from gateway.steps.image.step import Image

__all__ = ["Image"]
