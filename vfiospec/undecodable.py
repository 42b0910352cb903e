# SPDX-License-Identifier: MIT
"""What reading a file or a message that is not what it should be may raise."""

from typing import Final

import msgspec

# Text that is not UTF-8 has its own error, and so has what is nested too deep.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
