# SPDX-License-Identifier: MIT
"""ResultsWriter: one run per file, whole lines, and a full disk that costs nothing before it."""

import resource
from pathlib import Path

import pytest

from vfiospec.results.model import ResultsError
from vfiospec.results.reader import read_run
from vfiospec.results.writer import ResultsWriter
from vfiospec.tests import sample_run


def test_a_second_run_is_refused_and_the_first_kept(tmp_path: Path) -> None:
    path = sample_run.write(tmp_path, sample_run.records())
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="already holds a run"):
        ResultsWriter(path)
    assert path.read_bytes() == before


def test_each_record_is_in_the_file_before_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResultsWriter(path) as writer:
        for number, record in enumerate(sample_run.records(), 1):
            writer.write(record)
            assert path.read_bytes().count(b"\n") == number
            assert path.read_bytes().endswith(b"}\n")


def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    writer = ResultsWriter(tmp_path / "r.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(ResultsError, match=r"r\.jsonl is closed"):
        writer.write(sample_run.PASSED)


def test_a_full_disk_is_an_error_and_costs_nothing_before_it(tmp_path: Path) -> None:
    """The file size limit stands in for the disk: a short write, then EFBIG."""
    path = tmp_path / "r.jsonl"
    with ResultsWriter(path) as writer:
        writer.write(sample_run.header())
        writer.write(sample_run.PASSED)
        before = path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
        try:
            with pytest.raises(ResultsError, match=r"r\.jsonl cannot be written"):
                writer.write(sample_run.FAILED)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        writer.write(sample_run.ERROR)
    assert [o.id for o in read_run(path).outcomes] == [sample_run.PASSED.id, sample_run.ERROR.id]


def test_bytes_that_are_no_text_are_kept_as_escapes(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, [sample_run.FAILED])
    assert run.outcomes[0].log == ["vfio-pci 0000:00:14.0: \\udc80 odd"]
