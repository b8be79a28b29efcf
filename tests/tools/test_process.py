"""Programs that end with whoever started them, with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.tools import process, yosys

ROOT = Path(__file__).parents[2]
SLEEPERS = ["sh", "-c", "sleep 300 & echo $$ $! >pids; exec sleep 300"]
"""A program and one that it has started; their ids are in the file `pids`."""

SCRIPT = "sleep 300 & echo $PPID $! >pids; sleep 300\n"
"""The same for Yosys to start: its own id, and one's that it has not started itself."""

STARTERS = {
    "group": f"with process.group({SLEEPERS}) as one: one.wait()",
    "run": f"process.run({SLEEPERS})",
    "yosys": "yosys.run(['exec -- sh sleepers.sh'], pathlib.Path('.'))",
}


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def pids(folder: Path, seconds: float = 60) -> list[int]:
    """What the sleepers have written, as soon as it is there."""
    end = time.monotonic() + seconds
    while not (folder / "pids").is_file() or not (folder / "pids").read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return [int(word) for word in (folder / "pids").read_text().split()]


def all_end(numbers: list[int]) -> bool:
    end = time.monotonic() + 20
    while any(map(alive, numbers)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(alive, numbers))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("starter", STARTERS)
def test_what_was_started_ends_with_its_starter(starter, number, tmp_path):
    """A build that `kill`, `timeout` or a container ends leaves no Yosys behind."""
    (tmp_path / "sleepers.sh").write_text(SCRIPT)
    code = f"import pathlib\nfrom qfx_plugin.tools import process, yosys\n{STARTERS[starter]}"
    own = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    found = pids(tmp_path)
    assert len(found) == 2 and all(map(alive, found))
    own.send_signal(number)
    assert own.wait(20) == -number
    assert all_end(found)


def test_a_limit_of_time_ends_all(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        process.run(SLEEPERS, cwd=tmp_path, timeout=0.5)
    assert all_end(pids(tmp_path))
    (tmp_path / "sleepers.sh").write_text(SCRIPT)
    (tmp_path / "pids").unlink()
    with pytest.raises(TargetError, match="did not finish"):
        yosys.run(["exec -- sh sleepers.sh"], tmp_path, timeout_s=2)
    assert all_end(pids(tmp_path))


def test_output_status_and_input(tmp_path):
    done = process.run(["sh", "-c", "cat; echo out; echo err >&2; exit 7"], cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert process.run(["sh", "-c", "kill -SEGV $$"]).returncode == -signal.SIGSEGV
    words = ["a b", "$HOME", '"', "*"]
    assert process.run(["printf", "%s\n", *words]).stdout.splitlines() == words


def test_one_that_ends_by_itself_leaves_nothing(tmp_path):
    begun = time.monotonic()
    process.run(["sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $$ $! >pids"], cwd=tmp_path)
    assert time.monotonic() - begun < 20 and all_end(pids(tmp_path))


def test_an_error_before_the_start_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), process.group(["true"], cwd=tmp_path / "none"):
        pass
