"""Builds that are killed inside a step, as a machine that loses its power would."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qfx_plugin.build import BuildOptions, Manifest
from qfx_plugin.build.workspace import digests

ROOT = Path(__file__).parents[2]
NOT_COMPARED = ("logs/", "manifest.json", "report.", ".lock")
"""The manifest is compared without its times; reports and logs hold times."""

LONG_ENOUGH = 0.1
"""Seconds of a step that can be hit."""

ATTEMPTS = 4


@dataclass(frozen=True)
class Kill:
    """A build that was killed.

    Attributes:
        step: that it was in.
        moment: seconds after the step had begun.
    """

    step: str
    moment: float


def compared(out: Path) -> dict[str, str]:
    """All files but logs; the manifest without times."""
    files = {name: d for name, d in digests(out).items() if not name.startswith(NOT_COMPARED)}
    manifest = json.loads((out / "manifest.json").read_text())
    for record in manifest["steps"].values():
        del record["seconds"]
    return files | {"manifest.json": json.dumps(manifest)}


def start(command: Sequence[str], out: Path, **environment: str) -> subprocess.Popen[bytes]:
    """`python -m command... out`, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *command, str(out)],
        cwd=ROOT, env=os.environ | environment, start_new_session=True,
        # Where SIGINT is ignored (a job in the background), a child would ignore it as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def run_undisturbed(command: Sequence[str], out: Path, **environment: str) -> None:
    """To the end, which must be a good one."""
    assert start(command, out, **environment).wait(1800) == 0


def kill_in_step(
    begin: Callable[[], subprocess.Popen[bytes]], out: Path, step: str, moment: float
) -> Kill | None:
    """Kill a build `moment` seconds after a step has begun; None if it ended before.

    Args:
        begin: starts it.
        out: its folder.
        step: that has to be done still.
        moment: a step that is quicker is over, and a later one is hit.
    """
    log = out / "logs" / f"{step}.log"
    log.unlink(missing_ok=True)
    process = begin()
    while process.poll() is None and not log.exists():
        time.sleep(0.002)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return None
    manifest = Manifest.load(out)
    for name, record in manifest.steps.items():  # what is recorded is there as a whole
        assert record.outputs == digests(out / name), name
    hit = _step_under_way(out, manifest)
    return Kill(hit, moment) if hit else None


def kill_in_each(
    command: Sequence[str], out: Path, moments: dict[str, float], **environment: str
) -> list[Kill]:
    """Kill a build once in each of some steps; each time it goes on where it was.

    Args:
        command: as for `start`; `-o` is its last word.
        out: folder of the build.
        moments: seconds after the begin of a step, by step, in the order of the build.
        environment: for the processes.
    """
    kills = []
    for step, moment in moments.items():
        for attempt in range(ATTEMPTS):
            # A step that was quicker than the kill is done again.
            again = ["--from", step] if attempt else []
            words = [*command[:-1], *again, command[-1]]
            begin = partial(start, words, out, **environment)
            kill = kill_in_step(begin, out, step, moment / 2**attempt)
            if kill is not None and kill.step == step:
                kills.append(kill)
                break
    return kills


def draw_moments(out: Path, count: int, seed: int, steps: Iterable[str] = ()) -> dict[str, float]:
    """Random moments inside `count` different steps of a build, from how long they took.

    Args:
        out: an undisturbed build.
        count: of steps.
        seed: of the draw.
        steps: to choose among; without, all that take long enough to be hit.
    """
    draw = random.Random(seed)
    seconds = {name: record.seconds for name, record in Manifest.load(out).steps.items()}
    known = list(steps) or [name for name in seconds if seconds[name] >= LONG_ENOUGH]
    chosen = draw.sample(known, count)
    return {name: draw.uniform(0.02, 0.9) * seconds[name] for name in seconds if name in chosen}


def _step_under_way(out: Path, manifest: Manifest) -> str:
    """The first step that has begun and is not done; empty between two steps."""
    if not (out / ".partial").exists():
        return ""
    steps = BuildOptions.parse(manifest.options).target.steps
    return next((step.name for step in steps if step.name not in manifest.steps), "")
