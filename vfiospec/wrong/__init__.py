# SPDX-License-Identifier: MIT
"""Wrong kernels: real ones of which exactly one promise is broken, to prove that a suite can fail.

A wrong port breaks the answers of a kernel that runs; an edit breaks the driver's source.
"""
