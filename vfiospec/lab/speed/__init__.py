# SPDX-License-Identifier: MIT
"""Measurements, as ratios within one guest where they can be: machines are shared and noisy."""

from vfiospec.lab.speed.host import measure

__all__ = ["measure"]
