# SPDX-License-Identifier: MIT
"""Programs as bytes: any bytes are some program, and old corpora stay readable."""

from hypothesis import given
from hypothesis import strategies as st

from vfiospec.fuzzing import codec
from vfiospec.fuzzing.describe import by_code, descriptions
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.fields import Source
from vfiospec.fuzzing.model import CHOICES, MAX_OPERATIONS, RAW, Operation, Program

NAMES = sorted(descriptions())


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    name = draw(st.sampled_from(NAMES))
    count = len(descriptions()[name].fields)
    value = st.integers(0, CHOICES - 1) | st.integers(0, (1 << 64) - 1).map(lambda n: RAW + n)
    values = draw(st.lists(value, max_size=count))
    return Operation(name, draw(st.integers(0, 255)), tuple(values))


programs = st.lists(operations(), max_size=MAX_OPERATIONS).map(tuple)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_program(data: bytes) -> None:
    program = codec.decode(data)
    assert len(program) <= MAX_OPERATIONS
    for step in program:
        assert len(step.values) <= len(descriptions()[step.name].fields)


@given(programs)
def test_a_program_survives_its_bytes(program: Program) -> None:
    assert codec.decode(codec.encode(program)) == program


@given(st.binary(max_size=400))
def test_what_was_decoded_once_stays_the_same(data: bytes) -> None:
    program = codec.decode(data)
    assert codec.decode(codec.encode(program)) == program


@given(programs, st.integers(0, 400))
def test_bytes_cut_short_are_a_program_that_begins_alike(program: Program, size: int) -> None:
    whole = codec.encode(program)
    cut = codec.decode(whole[:size])
    assert cut[:-1] == program[: max(len(cut) - 1, 0)]


def test_a_corpus_of_version_1_is_read_as_it_was_written() -> None:
    """These bytes are kept as they are: corpora hold such."""
    code = (0xCE60246E).to_bytes(4, "little")
    assert descriptions()["VFIO_DEVICE_GET_INFO"].code == 0xCE60246E
    data = b"\x01" + code + b"\x02\x03" + b"\x05" + b"\xfd\x34\x12" + b"\xff" + b"\x88" * 8
    values = (5, RAW + 0x1234, RAW + 0x8888888888888888)
    assert codec.decode(data) == (Operation("VFIO_DEVICE_GET_INFO", 2, values),)


def test_a_structure_that_grew_reads_old_values_and_gives_the_new_ones_their_first_choice() -> None:
    code = descriptions()["VFIO_DEVICE_GET_INFO"].code.to_bytes(4, "little")
    many = codec.decode(b"\x01" + code + b"\x00\xff" + b"\x01" * 255)
    assert len(many[0].values) == len(descriptions()["VFIO_DEVICE_GET_INFO"].fields)
    assert codec.decode(b"\x01" + code + b"\x00\x01\x07")[0].values == (7,)


def test_no_two_operations_have_one_number() -> None:
    assert len(by_code()) == len(descriptions())


def _good(about: Description, name: str) -> tuple[int, int, str]:
    return next(f.choices[0] for f in about.fields if f.name == name)


def test_descriptions_come_from_the_headers_structures() -> None:
    about = descriptions()["VFIO_IOMMU_MAP_DMA"]
    assert [f.name for f in about.fields[:5]] == ["argsz", "flags", "vaddr", "iova", "size"]
    assert [f.offset for f in about.fields[:5]] == [0, 4, 8, 16, 24]
    assert _good(about, "argsz") == (Source.SIZE, 0, "")
    assert _good(about, "flags") == (Source.NUMBER, 3, "")
    assert _good(about, "vaddr")[0] == Source.ADDRESS
    irqs = descriptions()["VFIO_DEVICE_SET_IRQS/eventfd"]
    assert _good(irqs, "fd") == (Source.FILE, 0, "eventfd")
    assert irqs.size == 20 + 8 * 4
    assert all(len(f.choices) <= CHOICES for d in descriptions().values() for f in d.fields)
