# SPDX-License-Identifier: MIT
"""A serial port of mtty, the mediated sample device: its registers in a region of ports.

Numbers are those of include/uapi/linux/serial_reg.h. What is sent comes back.
"""

from dataclasses import dataclass

from vfiospec.device.region import Region

UART_RX = UART_TX = 0
UART_IER = 1
UART_IIR = UART_FCR = 2
UART_LCR = 3
UART_MCR = 4
UART_LSR = 5
UART_MSR = 6
UART_SCR = 7

UART_IER_THRI = 0x02
UART_IER_RDI = 0x01
UART_IER_RLSI = 0x04
UART_IER_MSI = 0x08
UART_FCR_ENABLE_FIFO = 0x01
UART_FCR_CLEAR_RCVR = 0x02
UART_FCR_CLEAR_XMIT = 0x04
UART_LCR_DLAB = 0x80
UART_MCR_RTS = 0x02
UART_LSR_DR = 0x01
UART_LSR_OE = 0x02
UART_LSR_EMPTY = 0x60  # THRE and TEMT: both halves of the transmitter

KEPT = (UART_LCR, UART_MCR, UART_SCR)  # registers that read as what was written


@dataclass(frozen=True)
class Uart:
    """One port."""

    region: Region

    def read(self, register: int) -> int:
        """One register."""
        return self.region.read(register, 1)

    def write(self, register: int, value: int) -> None:
        """One register."""
        self.region.write(register, 1, value)

    def send(self, data: bytes) -> None:
        """Put bytes into the queue; it has room for one until `enable`."""
        for byte in data:
            self.write(UART_TX, byte)

    def received(self) -> bytes:
        """Take out all that is in the queue."""
        data = bytearray()
        while self.read(UART_LSR) & UART_LSR_DR:
            data.append(self.read(UART_RX))
        return bytes(data)

    def enable(self) -> None:
        """Empty the queue, and give it room for 16 bytes."""
        clear = UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT
        self.write(UART_FCR, UART_FCR_ENABLE_FIFO | clear)

    def divide(self, divisor: int) -> None:
        """Write the divisor, whose registers stay in sight: hidden, it is kept no longer."""
        self.write(UART_LCR, UART_LCR_DLAB)
        self.write(UART_RX, divisor & 0xFF)
        self.write(UART_IER, divisor >> 8)

    def divisor(self) -> int:
        """The divisor, while its registers are in sight."""
        return self.read(UART_IER) << 8 | self.read(UART_RX)

    def interrupt(self) -> None:
        """Make the device interrupt: an empty queue, and the wish to hear of it."""
        self.write(UART_IER, UART_IER_THRI)
