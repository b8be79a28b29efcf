"""Boards without a processor: from a network to a bitstream by open tools, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build import build
from qfx_plugin.build.flow import find_target
from qfx_plugin.build.options import BuildOptions
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.targets.rtl import open as steps
from qfx_plugin.build.targets.rtl.open import layer_of
from qfx_plugin.driver import Description
from qfx_plugin.errors import OptionError, TargetError, ToolMissingError, VerificationError
from qfx_plugin.synthesis import placement
from qfx_plugin.tools import nextpnr
from tests.qonnx_models import mlp

STEPS = [
    "import",
    "search",
    "verilog",
    "simulate",
    "synthesise",
    "netlist",
    "place_route",
    "bitstream",
]
BOARDS = ["ulx3s-85f", "ecp5-evn", "tang-nano-20k"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    onnx.save(mlp((4, 2), bit_width=3), path)
    return path


def make(model: Path, out: Path, board: str = "ulx3s-85f", **options):
    return build(model, out=out, target="rtl", board=board, samples=16, **options)


def routed(fmax: float, cell: str = "link.net.graph._inst_logic1.x") -> dict[str, object]:
    """A report as nextpnr writes it."""
    end = {"cell": cell}
    way = {"from": "posedge c", "to": "posedge c", "path": [{"delay": 4.0, "from": end, "to": end}]}
    return {
        "fmax": {"c": {"achieved": fmax, "constraint": 25.0}},
        "utilization": {"TRELLIS_COMB": {"used": 300, "available": 83640}},
        "critical_paths": [way],
    }


@pytest.fixture(scope="module")
def mapped(model, tmp_path_factory) -> Path:
    """Built until its netlist is compared; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("mapped")
    make(model, out, until="netlist")
    return out


@pytest.fixture
def placer(monkeypatch):
    """nextpnr and packer by a stand-in: `speed` by seed is what it finds."""
    speed = {1: 80.0}

    def route(folder, board, clock_mhz, seed, limits):
        (folder / placement.ROUTED).write_text(f"seed {seed}\n")
        (folder / placement.REPORT).write_text(json.dumps(routed(speed[seed])))
        return steps.process.ToolRun(1.0, 0.1, folder / "nextpnr.log")

    def pack(folder, board, bitstream, limits):
        (folder / bitstream).write_text((folder / placement.ROUTED).read_text() * 2)

    monkeypatch.setattr(placement, "route", route)
    monkeypatch.setattr(placement, "pack", pack)
    return speed


@pytest.mark.parametrize("board", BOARDS)
def test_steps_of_a_board(board):
    options = BuildOptions.parse({"target": "rtl", "board": board})
    assert [step.name for step in options.target.steps] == STEPS
    assert not any(step.by_vendor for step in options.target.steps)
    family = load_board(board).family
    assert options.target.steps[-1].needs == (f"nextpnr-{family}",)
    zynq = BuildOptions.parse({"target": "rtl", "board": "kv260"}).target
    assert [step.name for step in zynq.steps][-3:] == ["shell", "handover", "bitstream"]


@pytest.mark.parametrize("target", ["hls4ml", "finn"])
def test_other_targets_need_a_processor(target):
    with pytest.raises(OptionError) as error:
        BuildOptions.parse({"target": target, "board": "ulx3s"})
    assert str(error.value) == (
        f"board of target {target} must be of zynq-ultrascale+, zynq-7000, not 'ulx3s-85f' (ecp5): "
        "name another board, or target rtl"
    )


def test_the_fastest_seed_is_kept(model, tmp_path, placer):
    placer.update({2: 95.5, 3: 90.0})
    result = make(model, tmp_path, seeds="1 2 3", clock_mhz=75.0)
    assert result.complete and not result.missing
    (bitstream,) = (tmp_path / "bitstream").iterdir()
    assert bitstream.suffix == ".bit" and bitstream.read_text() == "seed 2\n" * 2
    report = summarize(tmp_path)
    (timing,) = [one for one in report.timing if one["source"] == steps.PLACED]
    assert (timing["clock_mhz"], timing["routed_mhz"]) == (75.0, 95.5)
    assert timing["most_samples_per_second"] == 75_000_000
    told = "\n".join(report.checks)
    assert "seed 2 of 3 is kept (1: 80 MHz, 2: 95.5 MHz, 3: 90 MHz)" in told
    assert "longest way: 4 ns, in pipeline stage 1 of the adder graph" in told
    assert "openFPGALoader -b ulx3s bitstream/" in told and "such as a Zynq's" in told
    placed = [use.used for use in report.resources if use.source == steps.PLACED]
    assert placed[0]["lut"] == 300 and placed[0]["ff"] > 10
    (gates,) = [one for one in report.agreement if one.executor.startswith("netlist of all")]
    assert (gates.samples, gates.compared, gates.differing) == (16, 32, 0)
    page = (tmp_path / "report.html").read_text()
    assert "fastest clock after routing" in page


def test_adders_are_searched(model, tmp_path, placer):
    """The cheapest that reaches the clock; the stand-in's speeds go by the number of flip-flops."""
    placer.update({1: 80.0})
    result = make(model, tmp_path, adders_search="4 1", until="verilog", clock_mhz=75.0)
    assert [step.name for step in result.steps if step.status == "done"] == STEPS[:3]
    rows = json.loads((tmp_path / "search" / "search.json").read_text())
    assert [row["adders_per_stage"] for row in rows] == [4.0, 1.0]
    assert rows[0]["ff"] < rows[1]["ff"] and rows[0]["routed_mhz"] == 80.0
    assert json.loads((tmp_path / "verilog" / "report.json").read_text())["latency"] < 4
    (told,) = [line for line in summarize(tmp_path).checks if line.startswith("adders_per_stage: ")]
    assert told.endswith("4 is taken") and "; 1: 300 LUT, " in told


@pytest.mark.parametrize("numbers", ["0", "x", "-1"])
def test_searched_numbers(numbers):
    table = {"target": "rtl", "board": "ulx3s", "rtl": {"adders_search": numbers}}
    with pytest.raises(OptionError, match=r"^adders_search must be numbers of at least 1, as '4 2"):
        BuildOptions.parse(table)


def test_a_clock_that_is_not_reached(model, mapped, tmp_path, placer):
    shutil.copytree(mapped, tmp_path, dirs_exist_ok=True)
    with pytest.raises(TargetError) as error:
        make(model, tmp_path, clock_mhz=100.0)
    assert str(error.value) == (
        "clock_mhz 100 is not reached on ulx3s-85f: 80.0 MHz after routing with seed 1, the "
        "longest way in pipeline stage 1 of the adder graph; ask for 80 MHz, more seeds, fewer "
        "than 4 adders_per_stage"
    )
    assert make(model, tmp_path, clock_mhz=75.0).complete  # goes on from there


def test_a_wrong_gate_is_found(mapped, tmp_path):
    """One LUT of the network computes something else: the simulated netlist differs."""
    out = tmp_path / "own"
    shutil.copytree(mapped, out)
    path = out / "synthesise" / "netlist.json"
    table = json.loads(path.read_text())
    cells = table["modules"]["qfx_board"]["cells"]
    lut = next(c for name, c in cells.items() if c["type"] == "LUT4" and ".net." in name)
    value = lut["parameters"]["INIT"]
    lut["parameters"]["INIT"] = "".join("10"[int(bit)] for bit in value)
    path.write_text(json.dumps(table))
    context = SimpleNamespace(
        options=BuildOptions.load(out / "options.yaml"), board=load_board("ulx3s"),
        model=out / "model.onnx", scratch=tmp_path / "scratch", log=logging.getLogger(),
        input=lambda step: out / step, progress=lambda *told: None,
        facts=lambda step: json.loads((out / "manifest.json").read_text())["steps"][step]["facts"],
    )  # fmt: skip
    context.scratch.mkdir()
    with pytest.raises(VerificationError, match=r"^netlist of all of ulx3s-85f's design, simulat"):
        steps.netlist(context)


def test_a_network_that_is_too_large(model, tmp_path, monkeypatch):
    board = load_board("ulx3s-85f")
    small = replace(board, resources=replace(board.resources, lut=70))
    monkeypatch.setattr("qfx_plugin.build.options.load_board", lambda name: small)
    with pytest.raises(TargetError) as error:
        make(model, tmp_path, until="synthesise")
    assert str(error.value).startswith("network 'model' is too large for ulx3s-85f: at least ")
    assert " LUT, " in str(error.value) and "(Yosys, before placement)" in str(error.value)


def test_nextpnr_is_missing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(nextpnr.Flow, "_command", lambda *names: None)
    with pytest.raises(ToolMissingError) as error:
        make(model, tmp_path)
    assert str(error.value) == (
        "step place_route needs nextpnr-ecp5, which is missing: pip install 'qfx-plugin[pnr]', or "
        "nextpnr-ecp5 and ecppack on the search path"
    )
    with pytest.raises(ToolMissingError, match=r"nextpnr for gowin was not found: .*apycula"):
        nextpnr.GOWIN.require()


@pytest.mark.parametrize("seeds", ["", "1 x", "-1"])
def test_seeds_are_numbers(seeds):
    table = {"target": "rtl", "board": "ulx3s", "rtl": {"seeds": seeds}}
    with pytest.raises(OptionError, match=r"^seeds must be whole numbers, as '1 2 3', not "):
        BuildOptions.parse(table)


def test_cells_are_named_by_layer():
    stages = [{"unit": "a", "layer": "0/Conv"}, {"unit": "net_pool"}]
    assert layer_of("link.net.stage0.kernel.graph.op", stages) == "0/Conv"
    assert layer_of("link.net.stage1.flow.x", stages) == "net_pool"
    assert layer_of("link.net.stage7.flow.x", stages) == "the network's top"
    assert (
        layer_of("link.net.graph._inst_logic12.op_3", ()) == "pipeline stage 12 of the adder graph"
    )
    assert layer_of("link.shift_in_TRELLIS_FF_Q", ()) == "link"
    assert layer_of("link.accelerator.core.network.stage0.x", stages) == "0/Conv"


def test_constraints_of_every_family():
    pins = {"oscillator": "G2", "tx": "L4"}
    assert placement.constraints(load_board("ulx3s"), pins, "oscillator") == (
        'LOCATE COMP "oscillator" SITE "G2";\nIOBUF PORT "oscillator" IO_TYPE=LVCMOS33;\n'
        'LOCATE COMP "tx" SITE "L4";\nIOBUF PORT "tx" IO_TYPE=LVCMOS33;\n'
        'FREQUENCY PORT "oscillator" 25 MHZ;\n'
    )
    assert placement.constraints(load_board("tang-nano-20k"), {"tx": "69"}, "oscillator") == (
        'IO_LOC "tx" 69;\nIO_PORT "tx" IO_TYPE=LVCMOS33;\n'
    )


def test_a_damaged_report(tmp_path):
    (tmp_path / "routed.json").write_text("{}")
    with pytest.raises(TargetError, match=r"^routed\.json: is no report of nextpnr: "):
        placement.read_report(tmp_path / "routed.json")


def test_every_open_family_has_steps_and_tools():
    assert set(nextpnr.FLOWS) == {load_board(name).family for name in BOARDS}
    needs = {name for step in find_target("rtl").steps for name in step.needs}
    assert {flow.name for flow in nextpnr.FLOWS.values()} <= needs


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_a_bitstream(board, model, tmp_path, monkeypatch):
    """Made twice from nothing: the same bytes, and nothing in them names a folder."""
    made = []
    for out in (tmp_path / "a", tmp_path / "b"):
        monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache" / out.name))
        assert make(model, out, board, clock_mhz=50.0).complete
        made.append({p.name: p.read_bytes() for p in (out / "bitstream").iterdir()})
        for path in (*(out / "place_route").iterdir(), *(out / "synthesise").glob("*.*")):
            assert str(tmp_path).encode() not in path.read_bytes(), path
    assert made[0] == made[1] and len(next(iter(made[0].values()))) > 100_000
    report = summarize(tmp_path / "a")
    timing = next(one for one in report.timing if one["source"] == steps.PLACED)
    assert timing["routed_mhz"] >= timing["clock_mhz"] and report.proven


@pytest.mark.slow
def test_an_accelerator_at_a_uart(model, tmp_path):
    """The whole design with part of the driver's world maps; the step tells what the host needs."""
    make(model, tmp_path, link="uart", until="netlist")
    description = Description.load(tmp_path / "synthesise" / "accelerator.json")
    assert (description.board, description.clock_mhz) == ("ulx3s-85f", 25.0)
    assert (
        "netlist: not simulated with a UART; link=scan simulates it" in summarize(tmp_path).checks
    )
    assert (tmp_path / "synthesise" / "rtl" / "qfx_uart_link.sv").is_file()


@pytest.mark.slow
def test_limits_of_place_and_route(model, tmp_path, monkeypatch):
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache"))
    for option, text in (
        ({"route_gb": 0.05}, r"^(nextpnr|Yosys) needs more than 0\.05 GB for "),
        ({"route_seconds": 0.2}, r"^(nextpnr|Yosys) did not finish .* within 0\.2 s"),
    ):
        with pytest.raises(TargetError, match=text):
            make(model, tmp_path / next(iter(option)), **option)
