"""What the checks of a hand-over refuse, rule by rule, and the calls that the scripts make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qfx_plugin.boards import Board, list_boards, load_board
from qfx_plugin.boards.board import ZYNQ
from qfx_plugin.build.check.block_design import VIVADO_COMMANDS, Design
from qfx_plugin.build.check.hls import HLS_COMMANDS, check_hls
from qfx_plugin.build.check.includes import check_includes
from qfx_plugin.build.check.record import Call, record
from qfx_plugin.build.render import render
from qfx_plugin.build.targets.hls4ml.handover import script_values
from qfx_plugin.errors import TargetError

GOLDEN = Path(__file__).parent / "golden"
TOP = "net_axi"
OVERLAY = ("accelerator.json", "run_on_board.py", "inputs.npy", "expected_0.npy")


def values(board: Board, width: int = 64) -> dict[str, object]:
    script = script_values(
        board, TOP, "net", width=width, clock_mhz=100.0, network_id=32 * "0", uncertainty="27%",
        samples=64,
    )  # fmt: skip
    return script | {"OVERLAY": " ".join(OVERLAY)}


def vivado_calls(board: Board, folder: Path, change=("", "")) -> tuple[Call, ...]:
    """Render the block design for a board, change its text, and record its calls."""
    text = render("vivado/block_design.tcl", **values(board))
    assert change[0] in text
    scripts = folder / "handover" / "vivado"
    scripts.mkdir(parents=True)
    (scripts / "block_design.tcl").write_text(text.replace(*change) if change[0] else text)
    (scripts / "constraints.xdc").write_text(render("vivado/constraints.xdc", **values(board)))
    (folder / "handover" / "overlay").mkdir()
    for name in OVERLAY:
        (folder / "handover" / "overlay" / name).write_text("")
    (folder / "hls" / "qfx_hls" / "solution" / "impl" / "ip").mkdir(parents=True)
    (folder / "work").mkdir()
    return record(scripts / "block_design.tcl", VIVADO_COMMANDS, folder / "work")


def play(folder: Path, change=("", ""), board: str = "ultra96-v2") -> Design:
    one = load_board(board)
    return Design(one).play(vivado_calls(one, folder, change))


def hls_calls(folder: Path, change=("", "")) -> tuple[Call, ...]:
    text = render("hls4ml/vitis_hls.tcl", **values(load_board("ultra96-v2")))
    assert change[0] in text
    (folder / "firmware" / "weights").mkdir(parents=True)
    for name in ("firmware/net.cpp", "testbench.cpp", "input_beats.txt", "expected_beats.txt"):
        (folder / name).write_text("")
    (folder / f"{TOP}.cpp").write_text(f"void {TOP}(int x) {{}}\n")
    (folder / "vitis_hls.tcl").write_text(text.replace(*change) if change[0] else text)
    return record(folder / "vitis_hls.tcl", HLS_COMMANDS, folder)


def check_calls(folder: Path, change=("", "")) -> list[str]:
    return check_hls(hls_calls(folder, change), load_board("ultra96-v2"), 10.0, TOP)


def golden(name: str, calls: tuple[Call, ...], folder: Path) -> None:
    """Compare with `golden/NAME`; delete the file to write it anew."""
    text = "".join(f"{call}\n".replace(str(folder), "FOLDER") for call in calls)
    path = GOLDEN / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{path} is new: look at it, then run again")
    assert text == path.read_text()


@pytest.mark.parametrize("board", [board.name for board in list_boards() if board.family in ZYNQ])
def test_vivado_calls(board, tmp_path):
    calls = vivado_calls(load_board(board), tmp_path)
    golden(f"vivado_{board}.txt", calls, tmp_path)
    assert sorted(Design(load_board(board)).play(calls).cells) == [
        "accelerator", "control_switch", "dma", "memory_switch", "ps", "reset",
    ]  # fmt: skip


def test_hls_calls(tmp_path):
    calls = hls_calls(tmp_path)
    golden("vitis_hls.txt", calls, tmp_path)
    assert len(check_hls(calls, load_board("ultra96-v2"), 10.0, TOP)) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("xilinx.com:ip:axi_dma dma", "xilinx.com:ip:axi_dna dma",
         "needs a block of the catalog, not 'xilinx.com:ip:axi_dna'"),
        ("CONFIG.c_include_sg 0", "CONFIG.c_include_gs 0",
         "needs a parameter of dma, not 'c_include_gs'"),
        ("CONFIG.c_sg_length_width 26", "CONFIG.c_sg_length_width 27",
         "needs c_sg_length_width to be [89]|1\\d|2[0-6], not '27'"),
        ("dma/m_axi_s2mm_aclk", "", "needs dma/m_axi_s2mm_aclk to be connected"),
        ("    dma/M_AXI_S2MM          memory_switch/S01_AXI\n", "",
         "needs dma/M_AXI_S2MM to be connected"),
        ("dma/M_AXI_S2MM ", "dma/S_AXI_S2MM ", "not 'S_AXI_S2MM'"),
        ("memory_switch/S01_AXI", "memory_switch/S00_AXI",
         "needs memory_switch/S00_AXI to be free"),
        ("dma/M_AXIS_MM2S         accelerator/data_in", "accelerator/data_in dma/M_AXIS_MM2S",
         "needs a master first, not accelerator/data_in (slave stream)"),
        ("dma/M_AXIS_MM2S         accelerator/data_in",
         "dma/M_AXIS_MM2S memory_switch/S00_AXI",
         "needs memory_switch/S00_AXI to be a slave for master stream, not slave axi"),
        ("CONFIG.NUM_SI 2", "CONFIG.NUM_SI 1",
         "needs one of memory_switch's interfaces (S00_AXI, M00_AXI), not 'S01_AXI'"),
        ("CONFIG.PSU__USE__S_AXI_GP2 1", "CONFIG.PSU__USE__S_AXI_GP2 0", "not 'saxihp0_fpd_aclk'"),
        ("dma/axi_resetn", "dma/s_axi_lite_aclk", "needs dma/s_axi_lite_aclk to be in for"),
        ("-offset 0xA0010000", "-offset 0xA0000000",
         "needs no overlap with dma/S_AXI_LITE/Reg"),
        ("-offset 0xA0010000", "-offset 0x80000000",
         "needs addresses within M_AXI_HPM0_FPD's window"),
        ("-offset 0xA0010000", "-offset 0xA0018000",
         "needs an offset that is a multiple of the range"),
        ("validate_bd_design\n", "\n", "block design: validate_bd_design is missing"),
        ("-rule xilinx.com:bd_rule:zynq_ultra_ps_e", "-rule xilinx.com:bd_rule:processing_system7",
         "needs -rule xilinx.com:bd_rule:zynq_ultra_ps_e"),
        ("-part xczu3eg-sbva484-1-i", "-part xczu9eg-ffvb1156-2-e",
         "needs -part xczu3eg-sbva484-1-i"),
        ("get_bd_cells ps]\nset_property", "get_bd_cells sp]\nset_property",
         "needs a cell that exists, not 'sp'"),
        ("smartconnect memory_switch", "smartconnect dma", "needs a name that no other cell has"),
        ("save_bd_design", "sav_bd_design",
         'Tcl script block_design.tcl fails: invalid command name "sav_bd_design"'),
        ("validate_bd_design\n", "validate_bd_design {\n", "missing close-brace"),
        ("constraints.xdc", "constraint.xdc", "add_files: there is no file"),
        ("$slack < 0", "$slack < 1", "QFX: timing is not met: the worst slack is 0.5 ns"),
    ],
)  # fmt: skip
def test_block_designs_that_vivado_would_refuse(old, new, message, tmp_path):
    with pytest.raises(TargetError) as error:
        play(tmp_path, (old, new))
    assert message in str(error.value)


def test_a_board_file_is_checked_against_the_catalog(tmp_path):
    board = load_board("ultra96-v2")
    port = replace(board.memory_ports[0], width_parameter="PSU__SAXIGP9__DATA_WIDTH")
    wrong = replace(board, memory_ports=(port,))
    with pytest.raises(TargetError, match="a parameter of ps, not 'PSU__SAXIGP9__DATA_WIDTH'"):
        Design(wrong).play(vivado_calls(wrong, tmp_path))


def test_no_ip_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("QFX_IP_REPO", str(tmp_path / "none"))
    with pytest.raises(TargetError, match="QFX: no IP in .*/none: run Vitis HLS first"):
        play(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set_top net_axi", "set_top net", "needs top function net_axi"),
        ("set_part xczu3eg", "set_part xczu9eg", "needs part xczu3eg-sbva484-1-i"),
        ("-period 10", "-period 5", "needs a period of 10 ns"),
        ("csim_design\n", "", "must call open_project, set_top, add_files"),
        ("csynth_design\n", "csynth_design -fast\n", "needs an option among none, not -fast"),
        ("-flow_target vivado", "-flow_targets vivado", "not -flow_targets"),
        ("net_axi.cpp", "testbench.cpp", "no file added defines the top function net_axi"),
        ("input_beats.txt", "inputs.txt", "add_files: there is no file"),
        ("create_clock", "create_clocks", 'invalid command name "create_clocks"'),
    ],
)
def test_hls_scripts_that_vitis_would_refuse(old, new, message, tmp_path):
    with pytest.raises(TargetError) as error:
        check_calls(tmp_path, (old, new))
    assert message in str(error.value)


def test_includes(tmp_path):
    (tmp_path / "inner").mkdir()
    source = tmp_path / "inner" / "a.cpp"
    source.write_text('#include <vector>\n  #  include "b.h"\n#include "ap_int.h"\n')
    (tmp_path / "b.h").write_text('#include "inner/a.cpp"\n')
    assert check_includes([source], tmp_path) == 2
    (tmp_path / "b.h").write_text('#include "c.h"\n')
    with pytest.raises(TargetError) as error:
        check_includes([source], tmp_path)
    assert str(error.value) == "b.h: includes 'c.h', which is not handed over"


def test_hostile_arguments_survive_the_recorder(tmp_path):
    script = tmp_path / "s.tcl"
    script.write_text('set_top "a\\"b \\\\ c\\n{d} \\[e\\] $"\nset_top {}\n')
    calls = record(script, ["set_top"], tmp_path)
    assert calls == (Call("set_top", ('a"b \\ c\n{d} [e] $',)), Call("set_top", ("",)))


def test_a_script_without_calls(tmp_path):
    (tmp_path / "s.tcl").write_text("set a 1\n")
    with pytest.raises(TargetError, match="s.tcl calls no command at all"):
        record(tmp_path / "s.tcl", ["set_top"], tmp_path)
