"""A build that is killed at any time goes on, and gives the same bytes as an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import pytest

from qfx_plugin.build.workspace import digests
from tests.build.kills import compared, run_undisturbed, start


def kill_after_steps(process: Popen[bytes], out: Path, moment: float) -> bool:
    """Kill the process group `moment` seconds after the first step has begun."""
    while process.poll() is None and not (out / ".partial").exists():
        time.sleep(0.005)
    try:
        process.wait(moment)
    except TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.fixture
def toy(tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"model")
    return ["tests.build.toy_target", str(model)]


def test_killed_at_random_points(toy, tmp_path, seed):
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "killed"
    run_undisturbed(toy, undisturbed)
    moments, kills = random.Random(seed), 0
    for _ in range(5):
        process = start(toy, out, TOY_SECONDS="0.3")
        kills += kill_after_steps(process, out, moments.uniform(0, 0.6))
        for step in ("first", "second", "third", "last"):
            # A step's folder is there as a whole or not at all.
            assert len(digests(out / step)) in (0, 20)
    assert kills >= 2
    run_undisturbed(toy, out)
    assert compared(out) == compared(undisturbed)
    assert not list(out.glob(".partial*")) and not (out / ".scratch").exists()


def test_finished_steps_are_not_done_again_after_a_kill(toy, tmp_path):
    out, count = tmp_path / "out", tmp_path / "count"
    process = start(toy, out, TOY_SECONDS="0.4", TOY_COUNT=str(count))
    while not (out / "second").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert start(toy, out, TOY_COUNT=str(count)).wait(60) == 0
    assert count.read_text().split().count("first") == 1
    assert count.read_text().split().count("last") == 1


def test_an_interrupted_build_leaves_no_partial_folder(toy, tmp_path):
    out = tmp_path / "out"
    process = start(toy, out, TOY_SECONDS="2")
    while not (out / ".partial" / "1.txt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert not (out / ".partial").exists() and not (out / "first").exists()
