# SPDX-License-Identifier: MIT
"""The lab: kernels, guests and machines that the suites run on.

Nothing but conftest.py, vfiospec.session and the command line imports it.
"""

from vfiospec.lab.cache import LabError

__all__ = ["LabError"]
