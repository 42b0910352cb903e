# SPDX-License-Identifier: MIT
"""Migration of a device: its states, and the transfers that some of them begin."""

import fcntl
import os
from collections.abc import Iterator
from typing import Final

from vfiospec.abi import vfio_feature as abi
from vfiospec.abi.base import AbiStruct
from vfiospec.device import ops as o
from vfiospec.device.call import UNTOUCHED, Call, checked
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.ops import Fixup, Reply

GET, SET = abi.VFIO_DEVICE_FEATURE_GET, abi.VFIO_DEVICE_FEATURE_SET
_STATE: Final = abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
_NO_FD: Final = int.from_bytes(bytes([UNTOUCHED]) * 4, "little", signed=True)
MOST: Final = 4096  # bytes of a transfer that are moved at once


class Transfer:
    """The data fd of a transfer, by its number in the process that asked for it.

    Nothing closes it but the end of that process: ask in a second one, which is ended.
    """

    def __init__(self, memory: Memory, number: int) -> None:
        """`memory` is where data goes through, MOST bytes of it."""
        self.memory = memory
        self.number = number

    def _do(self, name: str, what: str, *args: int | Fixup) -> Call:
        reply = self.memory.port.do(o.Syscall(name, (self.number, *args)))
        return Call(name, what, 0, reply)

    def try_read(self, size: int = MOST, *, offset: int | None = None) -> Call:
        """read(2), or pread(2) with an offset; the bytes are the answer's data."""
        where = self.memory.fixup(0)
        if offset is None:
            call = self._do("read", f"data fd, {size} bytes", where, size)
        else:
            call = self._do("pread64", f"data fd, {size} bytes", where, size, offset)
        if call.ret > 0:
            got = self.memory.read(0, call.ret)
            return Call(call.name, call.what, 0, Reply(call.ret, data=got))
        return call

    def try_write(self, data: bytes, *, offset: int | None = None) -> Call:
        """write(2), or pwrite(2) with an offset."""
        self.memory.write(0, data)
        where = self.memory.fixup(0)
        if offset is None:
            return self._do("write", f"data fd, {len(data)} bytes", where, len(data))
        return self._do("pwrite64", f"data fd, {len(data)} bytes", where, len(data), offset)

    def try_seek(self, offset: int, whence: int = os.SEEK_SET) -> Call:
        """lseek(2)."""
        return self._do("lseek", f"data fd, {offset}, {whence}", offset, whence)

    def parts(self, size: int = MOST) -> Iterator[bytes]:
        """Read until the end, in parts of at most so many bytes; CallError if a read fails."""
        while part := checked(self.try_read(size)).data:
            yield part

    def read(self) -> bytes:
        """Read until the end."""
        return b"".join(self.parts())

    def try_ioctl(self, request: int) -> Call:
        """ioctl(2) with an address of ours."""
        return self._do("ioctl", f"data fd, {request:#x}", request, self.memory.fixup(0))

    def descriptor_flags(self) -> int:
        """FD_CLOEXEC or not."""
        return checked(self._do("fcntl", "F_GETFD", fcntl.F_GETFD, 0)).ret

    def status_flags(self) -> int:
        """How it is open: os.O_*."""
        return checked(self._do("fcntl", "F_GETFL", fcntl.F_GETFL, 0)).ret

    def try_precopy_info(
        self, argsz: int = abi.PRECOPY_INFO_MIN, flags: int = 0, *, address: int | None = None
    ) -> Call:
        """VFIO_MIG_GET_PRECOPY_INFO, by default into memory of ours."""
        number = abi.VFIO_MIG_GET_PRECOPY_INFO
        size = abi.vfio_precopy_info.sizeof()
        sent = argsz.to_bytes(4, "little") + flags.to_bytes(4, "little")
        sent += bytes([UNTOUCHED]) * size
        self.memory.write(0, sent)
        where = self.memory.fixup(0) if address is None else address
        call = self._do("ioctl", "data fd", number, where)
        reply = Reply(call.ret, call.errno, self.memory.read(0, len(sent)))
        what = f"argsz={argsz}, flags={flags:#x}"
        return Call("VFIO_MIG_GET_PRECOPY_INFO", what, sent, reply, argsz)


class Migration:
    """What a device can be asked and told about its migration."""

    def __init__(self, device: Device, memory: Memory) -> None:
        """`memory` is where the data of transfers goes through."""
        self.device = device
        self.memory = memory

    def flags(self) -> int:
        """VFIO_MIGRATION_*; CallError if the device has no migration."""
        return int(self._get(abi.VFIO_DEVICE_FEATURE_MIGRATION, abi.vfio_device_feature_migration))

    def data_size(self) -> int:
        """How many bytes STOP_COPY will give, so the device estimates."""
        size = abi.vfio_device_feature_mig_data_size
        return int(self._get(abi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, size))

    def _get(self, number: int, struct: type[AbiStruct]) -> int:
        data = bytes([UNTOUCHED]) * struct.sizeof()
        call = checked(self.device.try_feature(number | GET, data))
        return int.from_bytes(call.data[abi.FEATURE_MIN :][: struct.sizeof()], "little")

    def try_get(self) -> Call:
        """The state; what the kernel has to fill in is garbage before."""
        return self.device.try_feature(_STATE | GET, bytes([UNTOUCHED]) * len(_state(0)))

    def try_set(self, state: int) -> Call:
        """A new state; the data fd is garbage before."""
        return self.device.try_feature(_STATE | SET, _state(state))

    def state(self) -> int:
        """The state: VFIO_DEVICE_STATE_*."""
        return int(answered(checked(self.try_get())).device_state)

    def set(self, state: int) -> Transfer | None:
        """A new state, and the transfer it begins, if any. CallError if it is refused."""
        return self.transfer(checked(self.try_set(state)))

    def begin(self, state: int) -> Transfer:
        """A new state that begins a transfer; LookupError if it does not."""
        transfer = self.set(state)
        if transfer is None:
            raise LookupError(f"state {state} began no transfer: data_fd is -1")
        return transfer

    def transfer(self, call: Call) -> Transfer | None:
        """The transfer that an accepted change of state began, if any."""
        number = int(answered(call).data_fd)
        return None if number == -1 else Transfer(self.memory, number)


def answered(call: Call) -> abi.vfio_device_feature_mig_state:
    """What stands in the buffer after a call about the state."""
    return abi.vfio_device_feature_mig_state.unpack(call.data[abi.FEATURE_MIN :])


def _state(state: int) -> bytes:
    return abi.vfio_device_feature_mig_state(state, _NO_FD).pack()
