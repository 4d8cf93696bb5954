"""How many CPUs there are to use."""

import os

import pytest

from stepkit import machine


@pytest.mark.parametrize(
    ("content", "expected"),
    [("50000 100000\n", 1), ("100 100000\n", 1), ("max 100000\n", None), ("9900000 100000", None)],
)
def test_a_containers_quota_counts_but_never_for_more_than_there_is(tmp_path, content, expected):
    file = tmp_path / "cpu.max"
    file.write_text(content, encoding="ascii")
    assert machine.cpus(file) == (expected or len(os.sched_getaffinity(0)))


def test_without_cgroups_affinity_alone_counts(tmp_path):
    assert machine.cpus(tmp_path / "missing") == len(os.sched_getaffinity(0))
