"""What a first run on a real machine meets: board files, clocks, timing, old tools, second runs.

The stand-ins know the rules (`templates/check/recorder.tcl`, `fake_amd.py`): none of it is Vivado.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build.board_values import board_values, clock_notes
from qfx_plugin.build.check.block_design import VIVADO_COMMANDS, Design
from qfx_plugin.build.check.record import record
from qfx_plugin.build.render import render
from qfx_plugin.errors import TargetError
from tests.build import fake_amd
from tests.build.handovers import ID, go_on, interrupted, light, overlay_of
from tests.build.walls import WALLS, World

OLD, NEW = "avnet.com:ultra96v2:part0:1.2", "avnet-tria:ultra96v2:part0:1.3"
PRESET = "CONFIG.PSU__OVERRIDE__BASIC_CLOCK 1 CONFIG.PSU__CRL_APB__PL0_REF_CTRL__DIVISOR0 15"
"""What Avnet's preset sets: dividers that a frequency asked for does not change."""


def run(tmp_path, script="probe.tcl", clock_mhz=100.0, **world):
    """The calls of a script of target rtl in a world."""
    folder = light(tmp_path / "handover", "rtl", clock_mhz=clock_mhz)
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return record(folder / "vivado" / script, VIVADO_COMMANDS, work, world)


@pytest.mark.parametrize("script", ["probe.tcl", "block_design.tcl"])
@pytest.mark.parametrize(
    ("boards", "taken"),
    [
        (NEW, NEW),
        (OLD, OLD),
        (f"{OLD} {NEW}", NEW),
        (f"{NEW} {OLD} a.com:other:part0:9.9", NEW),
        ("x:ultra96v2:part0:1.9 x:ultra96v2:part0:1.10", "x:ultra96v2:part0:1.10"),
        ("Avnet-tria:Ultra96v2:part0:1.3", "Avnet-tria:Ultra96v2:part0:1.3"),
    ],
)
def test_the_newest_installed_board_is_taken(script, boards, taken, tmp_path):
    calls = run(tmp_path, script, boards=boards)
    assert [c.arguments[1] for c in calls if "board_part" in c.arguments[:1]][0] == taken


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ({"boards": ""}, "QFX: Vivado has no board files *:ultra96v2:part0:* (such as avnet.com"),
        ({"boards": "avnet.com:ultra96v1:part0:1.2"}, "at commit 2d49cfc25766f07792c0b314489f21fe"),
        ({"boards": NEW, "refused": NEW}, f"the project's board is '', not {NEW}, so its preset"),
        ({"boards": NEW, "part": "xczu9eg-ffvb1156-2-e"},
         f"QFX: board {NEW} has part xczu9eg-ffvb1156-2-e, not xczu3eg-sbva484-1-i"),
    ],
)  # fmt: skip
def test_a_board_that_is_not_there_or_not_taken(world, message, tmp_path):
    with pytest.raises(TargetError) as error:
        run(tmp_path, **world)
    assert message in str(error.value)


def test_a_folder_with_more_board_files(tmp_path, monkeypatch):
    monkeypatch.setenv("QFX_BOARD_FILES", "/my boards")
    calls = run(tmp_path, boards=NEW)
    (call,) = [call for call in calls if call.name == "set_param"]
    assert call.arguments == ("board.repoPaths", "{/my boards}")
    (call,) = [call for call in calls if "BOARD_PART_REPO_PATHS" in call.arguments[:1]
               and call.name == "set_property"]  # fmt: skip
    assert call.arguments[1] == "{/my boards}"


@pytest.mark.parametrize(("asked", "actual"), [(100, 99.999), (187.5, 187.498), (200, 187.498)])
def test_the_clock_that_runs_is_told_to_the_driver(asked, actual, tmp_path):
    """The preset's fixed dividers are let go; what the PLL gives is read back."""
    run(tmp_path, "block_design.tcl", clock_mhz=asked, preset=PRESET)
    told = json.loads((tmp_path / "work" / "overlay" / "accelerator.json").read_text())
    assert told["clock_mhz"] == pytest.approx(actual, abs=1e-3) and told["top"] == "net_axi"


def test_a_clock_far_from_what_was_asked_is_told_by_the_script(tmp_path):
    for clock, warned in ((200.0, True), (150.0, False)):
        folder = light(tmp_path / f"handover_{clock}", "rtl", clock_mhz=clock)
        (tmp_path / "bin").mkdir(exist_ok=True)
        fake_amd.install(tmp_path / "bin", "2023.2", {"preset": PRESET})
        result = go_on(folder, tmp_path / f"out_{clock}", tmp_path / "bin")
        assert result.returncode == 0, result.stderr
        assert (
            "more than 1 % away: rates and latencies hold for 187.49" in result.stdout
        ) == warned
        probe = (tmp_path / f"out_{clock}" / "probe.txt").read_text()
        assert probe.startswith("board part: maker.com:ultra96v2:part0:1.0\nclock: 1")


def test_a_vivado_that_does_not_tell_its_clock(tmp_path):
    run(tmp_path, "block_design.tcl", actual="")
    told = json.loads((tmp_path / "work" / "overlay" / "accelerator.json").read_text())
    assert told["clock_mhz"] == 100


def test_a_board_without_the_parameter_is_asked_at_its_pin():
    board = load_board("ultra96-v2")
    other = replace(board, clock=replace(board.clock, actual=None, pll_mhz=None))
    assert board_values(other, "a", width=64, clock_mhz=200.0, network_id=ID)["CLOCK_ACTUAL"] == (
        "[get_property CONFIG.FREQ_HZ [get_bd_pins ps/pl_clk0]]e-6"
    )
    assert clock_notes(other, 200.0) == []


def test_clocks_that_the_dividers_reach():
    clock = load_board("ultra96-v2").clock
    assert clock.exact_mhz == (50, 60, 62.5, 75, 100, 125, 150, 187.5, 250, 300)
    assert [clock.reachable(mhz) for mhz in (100, 187.5, 200, 290, 300)] == [
        100, 187.5, 187.5, 300, 300,
    ]  # fmt: skip
    assert load_board("pynq-z2").clock.reachable(142.9) == pytest.approx(1000 / 7)
    assert clock_notes(load_board("ultra96-v2"), 200.0) == [
        "clock: board ultra96-v2 gives 187.5 MHz for 200 MHz asked, and rates and latencies are "
        "for that; exact are 50, 60, 62.5, 75, 100, 125, 150, 187.5, 250, 300 MHz"
    ]
    assert clock_notes(load_board("ultra96-v2"), 188.0) == []


@pytest.mark.parametrize(("board", "width", "port"), [
    ("pynq-z2", 32, "PCW_S_AXI_HP0_DATA_WIDTH 64"), ("pynq-z2", 64, "PCW_S_AXI_HP0_DATA_WIDTH 64"),
    ("ultra96-v2", 32, "PSU__SAXIGP2__DATA_WIDTH 32"),
    ("ultra96-v2", 128, "PSU__SAXIGP2__DATA_WIDTH 128"),
])  # fmt: skip
def test_the_port_of_a_zynq_7000_stays_as_it_booted(board, width, port):
    values = board_values(load_board(board), "a", width=width, clock_mhz=100.0, network_id=ID)
    assert f"CONFIG.{port} " in f"{values['PS_PARAMETERS']} " and values["BEAT"] == width


@pytest.mark.parametrize(
    ("slacks", "kind"), [({"setup": "-0.01"}, "-0.01 ns (setup)"), ({"hold": "-0.3"}, "(hold)")]
)
def test_no_overlay_of_a_design_that_misses_timing(slacks, kind, tmp_path):
    """Nor one of an earlier run."""
    run(tmp_path, "block_design.tcl")
    overlay = tmp_path / "work" / "overlay"
    assert (overlay / "net_axi.bit").is_file()
    with pytest.raises(TargetError) as error:
        run(tmp_path, "block_design.tcl", **slacks)
    assert "QFX: timing is not met: the worst slack is" in str(error.value)
    assert kind in str(error.value) and not overlay.exists()


@pytest.fixture
def programs(tmp_path):
    folder = tmp_path / "amd" / "bin"
    folder.mkdir(parents=True)
    return folder


TARGETS, BOARDS = ("hls4ml", "rtl", "finn"), ("ultra96-v2", "pynq-z2")
INSTALLED = {"2020.2": OLD, "2022.1": f"{OLD} {NEW}", "2024.2": NEW}
"""Avnet's board files as they were when a version came out."""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "board"),
    [
        (name, board)
        for name in WALLS
        for board in (BOARDS if name[:6] in ("wall_1", "wall_4", "wall_5") else BOARDS[:1])
        if "on_the_board" not in name
    ],
)
def test_no_wall_stands(name, target, board, tmp_path):
    """Those on the board itself are of `tests/driver/test_pynq.py` and `test_overlay.py`."""
    handover = light(tmp_path / "light", target, board, 200.0)
    (tmp_path / "world").mkdir()
    WALLS[name](World(handover, tmp_path / "world"))


def install(programs: Path, version: str, board: str) -> None:
    """AMD's tools of a version; the oldest with the patch for 2022."""
    own = INSTALLED[version] if board == "ultra96-v2" else "tul.com.tw:pynq-z2:part0:1.0"
    fake_amd.install(programs, version, {"boards": own, "preset": PRESET})
    patch = programs.parent / "common" / "scripts" / "automg_patch_20220104.tcl"
    patch.parent.mkdir(parents=True)
    if version == "2020.2":
        patch.write_text("")


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("version", INSTALLED)
def test_every_script_runs_against_three_versions(version, target, board, programs, tmp_path):
    install(programs, version, board)
    folder = light(tmp_path / "handover", target, board)
    result = go_on(folder, tmp_path / "out", programs)
    assert result.returncode == 0, result.stdout + result.stderr
    overlay = overlay_of(target, tmp_path / "out")
    assert result.stdout.splitlines()[-1] == f"continue.sh: the overlay is in {overlay}"
    assert {path.suffix for path in overlay.iterdir()} >= {".bit", ".hwh", ".json"}
    scripts = [path for path in folder.rglob("*.tcl") if path.is_file()]
    assert len(list((tmp_path / "out" / "first_run").glob("*.log"))) == len(scripts)  # each has run


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("target", TARGETS)
def test_interrupted_at_each_script_and_run_again(target, board, programs, tmp_path):
    """Whatever an interrupted run leaves, the next one ends as one that was never interrupted."""
    install(programs, "2022.1", board)
    folder, out = light(tmp_path / "handover", target, board), tmp_path / "out"
    assert go_on(folder, tmp_path / "through", programs).returncode == 0
    count = {"hls4ml": 3, "rtl": 2, "finn": 4}[target]
    for at in range(1, count + 1):
        result = go_on(folder, out, interrupted(programs, at))
        assert result.returncode == 1, (at, result.stderr)
        assert "the overlay is in" not in result.stdout
        # The last script of Vivado's makes the overlay of targets rtl and hls4ml.
        assert overlay_of(target, out).exists() == (at == count and target != "finn")
    result = go_on(folder, out, interrupted(programs, count + 1))
    assert result.returncode == 0, result.stderr
    assert _results(out) == _results(tmp_path / "through")


def _results(out: Path) -> dict[str, bytes]:
    """All files by name, without the folder's own name in them."""
    return {
        str(path.relative_to(out)): path.read_bytes().replace(bytes(out), b"OUT")
        for path in sorted(out.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize("target", ["hls4ml", "finn"])
@pytest.mark.parametrize("patched", [False, True])
def test_vitis_hls_before_2022_needs_its_patch(target, patched, programs, tmp_path):
    fake_amd.install(programs, "2021.2")
    if patched:
        patch = programs.parent / "common" / "scripts" / "automg_patch_20220104.tcl"
        patch.parent.mkdir(parents=True)
        patch.write_text("")
    result = go_on(light(tmp_path / "handover", target), tmp_path / "out", programs)
    assert (result.returncode == 0) == patched, result.stderr
    told = "Vitis HLS v2021.2 cannot export an IP since 2022: use 2022.1" in result.stderr
    assert told != patched


@pytest.mark.parametrize("target", TARGETS)
def test_somebody_else_s_folder_is_not_removed(target, programs, tmp_path):
    fake_amd.install(programs)
    folder, overlay = light(tmp_path / "handover", target), overlay_of(target, tmp_path / "out")
    overlay.mkdir(parents=True)
    (overlay / "mine.txt").write_text("")
    result = go_on(folder, tmp_path / "out", programs)
    assert result.returncode == 3 and f"{overlay} is something else" in result.stderr
    assert (overlay / "mine.txt").is_file()


def test_another_finn_hlslib_is_refused(programs, tmp_path):
    fake_amd.install(programs)
    folder = light(tmp_path / "handover", "finn")
    library = tmp_path / "hlslib"
    library.mkdir()
    git = ["git", "-C", str(library), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINN_HLSLIB", str(library))
        result = go_on(folder, tmp_path / "out", programs)
        assert result.returncode == 3 and f"git -C {library} checkout 8d979e2b" in result.stderr
        subprocess.run(["rm", "-rf", library / ".git"], check=True)
        assert go_on(folder, tmp_path / "out", programs).returncode == 0


def test_board_files_beside_finn_s_scripts(programs, tmp_path):
    """The probe looks where FINN's script will look."""
    fake_amd.install(programs)
    folder = light(tmp_path / "handover", "finn")
    assert (folder / "lib" / "board_files" / "README.txt").is_file()
    assert go_on(folder, tmp_path / "out", programs).returncode == 0
    text = (tmp_path / "out" / "qfx_work" / "system" / "record.txt").read_text()
    place = tmp_path / "out" / "qfx_work" / "lib" / "board_files"
    assert f'["set_param", "board.repoPaths", "{place}"]' in text


def test_a_project_is_not_created_twice(tmp_path):
    """The rule that FINN's scripts broke when they ran in the hand-over itself."""
    script = tmp_path / "s.tcl"
    script.write_text("create_project a ./ -part x\n")
    record(script, VIVADO_COMMANDS, tmp_path)
    with pytest.raises(TargetError, match="Project already exists on disk"):
        record(script, VIVADO_COMMANDS, tmp_path)


def test_a_probe_that_asks_nothing_is_refused(tmp_path):
    board = load_board("ultra96-v2")
    with pytest.raises(TargetError, match="probe: must set the board part and make the processor"):
        Design(board).probe([])
    text = render("vivado/board.tcl")
    assert "\t" not in text and all(len(line) <= 100 for line in text.splitlines())
