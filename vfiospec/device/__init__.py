# SPDX-License-Identifier: MIT
"""The door to a kernel: operations, the ports that make them, and the objects they act on."""
