# SPDX-License-Identifier: MIT
"""Frames from a dying guest.

Invariant: whatever bytes arrive, decoding gives an answer or a WireError, and what decodes
encodes to something that decodes to the same.
"""

from contextlib import suppress

from vfiospec.device import wire


def check(data: bytes) -> None:
    """Judge one input as an answer, as a request, and as a greeting."""
    with suppress(wire.WireError):
        answer = wire.decode_answer(data)
        assert wire.decode_answer(wire.encode_answer(*answer)[4:]) == answer
    with suppress(wire.WireError):
        request = wire.decode_request(data)
        assert wire.decode_request(wire.encode_request(*request)[4:]) == request
    with suppress(wire.WireError):
        hello = wire.decode_hello(data)
        assert wire.decode_hello(wire.encode_hello(hello)[4:]) == hello
