# SPDX-License-Identifier: MIT
"""Frames: how operations and answers travel over a stream.

A frame is its length (u32, little-endian) and that many bytes of msgpack. A request is
`[number, [operation, ...]]`, an answer `[the same number, [reply, ...]]`. The executor opens
with a Hello. Nothing here depends on Python.
"""

from collections.abc import Callable, Sequence
from struct import Struct

import msgspec

from vfiospec.device.ops import MAX_FRAME, PROTOCOL, AnyOp, Hello, Reply
from vfiospec.undecodable import UNDECODABLE

_LENGTH = Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(tuple[int, tuple[AnyOp, ...]])
_answers = msgspec.msgpack.Decoder(tuple[int, tuple[Reply, ...]])
_hellos = msgspec.msgpack.Decoder(Hello)

MAGIC = "vfiospec"


class WireError(Exception):
    """What came over the stream is not a frame of this protocol."""


def frame(payload: bytes) -> bytes:
    """Put its length before a payload."""
    if len(payload) > MAX_FRAME:
        raise WireError(f"a message of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    return _LENGTH.pack(len(payload)) + payload


def read_frame(read: Callable[[int], bytes]) -> bytes:
    """Read one payload; `read(n)` gives exactly n bytes or raises EOFError."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > MAX_FRAME:
        raise WireError(f"a frame claims {length} bytes, over the limit of {MAX_FRAME}")
    return read(length)


def take_frame(buffer: bytearray) -> bytes | None:
    """Take one whole payload off the front of what was received; None if more has to come."""
    if len(buffer) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(buffer)
    if length > MAX_FRAME:
        raise WireError(f"a frame claims {length} bytes, over the limit of {MAX_FRAME}")
    end = _LENGTH.size + length
    if len(buffer) < end:
        return None
    payload = bytes(buffer[_LENGTH.size : end])
    del buffer[:end]
    return payload


def encode_request(number: int, ops: Sequence[AnyOp]) -> bytes:
    """One request as a frame."""
    return frame(_encode((number, ops)))


def decode_request(payload: bytes) -> tuple[int, tuple[AnyOp, ...]]:
    """The number and operations of a request."""
    try:
        return _requests.decode(payload)
    except UNDECODABLE as e:
        raise WireError(f"not a request: {e}") from e


def encode_answer(number: int, replies: Sequence[Reply]) -> bytes:
    """One answer as a frame."""
    return frame(_encode((number, replies)))


def decode_answer(payload: bytes) -> tuple[int, tuple[Reply, ...]]:
    """The number and replies of an answer."""
    try:
        return _answers.decode(payload)
    except UNDECODABLE as e:
        raise WireError(f"not an answer: {e}") from e


def encode_hello(hello: Hello) -> bytes:
    """The executor's first frame."""
    return frame(_encode(hello))


def decode_hello(payload: bytes) -> Hello:
    """Read the executor's first frame and check that it speaks this protocol."""
    try:
        hello = _hellos.decode(payload)
    except UNDECODABLE as e:
        raise WireError(f"not the greeting of an executor: {e}") from e
    if hello.magic != MAGIC or hello.protocol != PROTOCOL:
        raise WireError(
            f"the executor speaks {hello.magic} {hello.protocol}, this side {MAGIC} {PROTOCOL}: "
            "install the same version of vfiospec on both"
        )
    return hello
