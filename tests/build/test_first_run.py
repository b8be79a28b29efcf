"""What comes back from a first run, in the report of the build; and a bundle for a bug report."""

from __future__ import annotations

import getpass
import json
import platform
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from qfx_plugin.build import build
from qfx_plugin.build.bundle import bundle, hidden
from qfx_plugin.build.first_run import report_from
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.vendor_facts import read_facts
from qfx_plugin.cli import main
from qfx_plugin.errors import DataError
from tests.build import fake_amd, toy_target
from tests.build.handovers import go_on, light
from tests.driver.test_layout import description

GOLDEN = Path(__file__).parent / "golden" / "first_run"
BOARD = {
    "samples": 64, "compared": 640, "differing": 0, "clock_mhz": 187.498, "latency_cycles": 30,
    "interval_cycles": 8.1, "samples_per_second": 1.5e6, "watts": {"PSINT": 1.25, "PL": 0.5},
}  # fmt: skip


@pytest.fixture
def built(tmp_path, monkeypatch) -> Path:
    """A build of the target of four quick steps."""
    toy_target.install(monkeypatch)
    (tmp_path / "secret.onnx").write_bytes(b"weights")
    build(tmp_path / "secret.onnx", out=tmp_path / "build", target="toy", clock_mhz=100.0)
    return tmp_path / "build"


@pytest.fixture
def sent(tmp_path) -> Path:
    """What `continue.sh` of target hls4ml gathers on a machine with the tools, by stand-ins."""
    programs = tmp_path / "amd" / "bin"
    programs.mkdir(parents=True)
    fake_amd.install(programs)
    handover = light(tmp_path / "handover", "hls4ml")
    result = go_on(handover, tmp_path / "out", programs)
    assert result.returncode == 0, result.stderr
    return tmp_path / "out" / "first_run"


def test_continue_sh_gathers_what_tells(sent):
    assert {path.name for path in sent.iterdir()} == {
        "probe.txt", "probe.log", "vitis_hls.log", "block_design.log", "csynth.xml", "timing.rpt",
        "utilization.rpt", "utilization_hierarchical.rpt", "power.rpt", "accelerator.json",
    }  # fmt: skip
    assert "INFO: QFX: the clock is 99.999 MHz" in (sent / "probe.log").read_text()


def test_it_also_gathers_after_an_error(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    fake_amd.install(programs, "2023.2", {"setup": "-1"})
    result = go_on(light(tmp_path / "handover", "rtl"), tmp_path / "out", programs)
    assert result.returncode != 0
    assert {path.name for path in (tmp_path / "out" / "first_run").iterdir()} == {
        "probe.txt", "probe.log", "block_design.log",
    }  # fmt: skip


def test_reports_become_part_of_the_report(built, sent):
    (sent / "board.json").write_text(json.dumps(BOARD))
    found = report_from(built, sent)
    report = summarize(built)
    uses = {use.source: use.used for use in report.resources}
    assert uses["Vivado, placed and routed"]["lut"] == 14657
    assert uses["Vivado, placed and routed: the accelerator alone"]["lut"] == 9120
    assert uses["Vitis HLS estimate"]["lut"] == 4239
    timing = {entry["source"]: entry for entry in report.timing}
    assert timing["Vivado, placed and routed"]["worst_setup_slack_ns"] == 2.479
    assert timing["Vivado, placed and routed"]["clock_mhz"] == 99.999
    assert {"source": "on the board", "watt": 1.75} in report.timing
    (pace,) = [entry for entry in report.timing if entry.get("interval_cycles") == 8.1]
    assert pace["source"] == "on the board" and pace["latency_cycles"] == 30
    (row,) = [row for row in report.agreement if row.executor == "on the board"]
    assert (row.samples, row.compared, row.differing) == (64, 640, 0)
    assert "clock: the processor gives 99.999 MHz for 100 MHz asked" in report.checks
    assert found["target"] == "toy" and found["board"] == "ultra96-v2"
    text = (built / "first_run.json").read_text()
    assert str(built.parent) not in text and "secret" not in text
    # A later build leaves it, and reports it again.
    build(built / "model.onnx", out=built, target="toy", clock_mhz=100.0)
    assert (built / "first_run.json").read_text() == text
    assert "on the board" in (built / "report.json").read_text()


def test_codes_that_differ_on_the_board(built, tmp_path, capsys):
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "board.json").write_text(json.dumps(BOARD | {"differing": 1, "watts": None}))
    assert main(["build", "-o", str(built), "--report-from", str(folder)]) == 1
    assert "on the board" in capsys.readouterr().out
    assert not summarize(built).proven


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("notes.txt", "", "sent: holds no report: none of csynth.xml, lat.rpt, utilization.rpt"),
        ("timing.rpt", "", "timing.rpt: is no timing summary of Vivado"),
        ("board.json", "{}", "board.json: is not what run_on_board.py writes: KeyError('samples')"),
        ("board.json", "[]", "board.json: is not what run_on_board.py writes: TypeError"),
        ("board.json", json.dumps(BOARD).replace("8.1", "1e999"), "figures must be finite"),
    ],
)
def test_what_is_no_report(name, text, message, built, tmp_path, capsys):
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / name).write_text(text)
    with pytest.raises(DataError) as error:
        report_from(built, folder)
    assert message in str(error.value)
    assert not (built / "first_run.json").exists()
    assert main(["build", "-o", str(built), "--report-from", str(folder)]) == 2


@pytest.mark.parametrize("place", ["shell", "handover/driver"])
def test_reports_of_another_network(place, built, tmp_path):
    """The second place is that of target finn."""
    (built / place).mkdir(parents=True)
    own, other = description(), replace(description(), network_id="f" * 32)
    (built / place / "accelerator.json").write_text(own.to_json())
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "board.json").write_text(json.dumps(BOARD))
    given = tmp_path / "sent" / "accelerator.json"
    given.write_text(other.to_json())
    with pytest.raises(DataError, match="sent: is of another network: accelerator.json has the id"):
        report_from(built, tmp_path / "sent")
    given.write_text("{}")
    with pytest.raises(DataError, match="accelerator.json: is not what a build writes: KeyError"):
        report_from(built, tmp_path / "sent")
    given.write_text(own.to_json())
    assert report_from(built, tmp_path / "sent")["board"] == "ultra96-v2"
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        report_from(built, tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"version": 2, "facts": {}}'])
def test_a_damaged_file_is_told(text, built):
    (built / "first_run.json").write_text(text)
    with pytest.raises(DataError, match=r"first_run.json: (is damaged|version must be 1, not 2)"):
        summarize(built)


def test_golden_runs_still_read():
    """Kept as they came back; the first is of stand-ins, until somebody has sent a real one."""
    for folder in sorted(GOLDEN.iterdir()):
        wanted = json.loads((folder / "first_run.json").read_text())
        assert read_facts(folder, 100.0) == wanted["facts"], folder.name
    assert {path.name for path in GOLDEN.iterdir()} >= {"stand_in"}


def test_a_bundle_holds_no_name_and_no_weight(built, tmp_path):
    log = built / "logs" / "first.log"
    log.write_text(
        f"{log.read_text()}{built}/x {Path.home()}/y /home/somebody/proj/z.tcl "
        f"{getpass.getuser()}@{platform.node()}\n"
    )
    out = tmp_path / "b.zip"
    names = bundle(built, out, doctor=[{"name": "vivado"}])
    some = {"doctor.json", "manifest.json", "options.yaml", "report.json", "logs/first.log"}
    assert some <= set(names)
    with zipfile.ZipFile(out) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert sorted(texts) == names and "model.onnx" not in names
    for name, text in texts.items():
        for word in (str(tmp_path), "/home/somebody", platform.node()):
            assert word not in text, name
    assert texts["logs/first.log"].splitlines()[-1].startswith("BUILD/x HOME/y PATH/z.tcl ")
    first = out.read_bytes()
    bundle(built, out, doctor=[{"name": "vivado"}])
    assert out.read_bytes() == first
    assert "model.onnx" in bundle(built, out, with_model=True)


def test_the_command(built, tmp_path, capsys):
    out = tmp_path / "b.zip"
    assert main(["bundle", str(built), "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out) and "doctor.json" in told["names"]
    assert main(["bundle", str(tmp_path / "none"), "-o", str(out)]) == 2
    assert main(["bundle", str(built), "-o", str(tmp_path / "no" / "b.zip")]) == 2


def test_what_is_hidden_is_hidden_whole(tmp_path):
    hide = hidden(tmp_path / "build")
    assert hide(f"{tmp_path}/build/a") == "BUILD/a"
    assert hide("set x $QFX_ROOT/tmp/keep http://a/home/b") == (
        "set x $QFX_ROOT/tmp/keep http://a/home/b"
    )
    assert hide('"/opt/Xilinx/Vivado/2023.2/bin/vivado"') == '"PATH/vivado"'
