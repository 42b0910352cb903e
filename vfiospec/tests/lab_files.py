# SPDX-License-Identifier: MIT
"""Small stand-ins for the binary files the lab reads: a bzImage and a kernel module."""

import struct
from pathlib import Path


def bzimage(release: str) -> bytes:
    """Return the setup part of a bzImage that carries release."""
    text = f"{release} (someone@somewhere) #1 SMP".encode() + b"\0"
    image = bytearray(5 * 512)
    image[0x1F1] = 4
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x400)
    image[0x600 : 0x600 + len(text)] = text
    return bytes(image)


def module(depends: str = "", release: str = "1.0-test") -> bytes:
    """Return a relocatable ELF file with a .modinfo section, as modpost writes it."""
    modinfo = f"license=GPL\0depends={depends}\0vermagic={release} SMP mod_unload \0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0, 1, 62, 1, 0, 0, 64 + len(modinfo) + len(names)),
        *(0, 64, 0, 0, 64, 3, 2),
    )
    section = struct.Struct("<IIQQQQIIQQ")
    table = section.pack(*[0] * 10)
    table += section.pack(1, 1, 2, 0, 64, len(modinfo), 0, 0, 1, 0)
    table += section.pack(10, 3, 0, 0, 64 + len(modinfo), len(names), 0, 0, 1, 0)
    return header + modinfo + names + table


def write(path: Path, data: bytes) -> Path:
    """Write data to path, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
