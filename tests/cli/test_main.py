"""`qfx` itself: quick help, version, errors in one line, exit status."""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brevitas_quantizers import __version__
from qfx_plugin import cli
from qfx_plugin.cli.parser import COMMANDS
from qfx_plugin.errors import DataError, VerificationError


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from qfx_plugin.cli import main\n"
        "try:\n    main(['demo', '--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'numpy', 'onnx', 'rich', 'brevitas', 'sklearn', 'hls4ml'}\n"
        "sys.exit(', '.join(heavy & sys.modules.keys()) or 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.returncode == 0
    assert "QFX_DATA" in result.stdout


def test_runs_as_a_module():
    command = [sys.executable, "-m", "qfx_plugin.cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"qfx-plugin {__version__}\n")


@pytest.mark.parametrize("command", [name.__name__.rpartition(".")[2] for name in COMMANDS])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: qfx {command} ")


def test_alone_it_shows_its_help(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: qfx ")


@pytest.fixture(autouse=True)
def quiet_afterwards():
    """`-v` sets up logging for the process: put it back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def raising(error: BaseException):
    def run(options: argparse.Namespace) -> int:
        raise error

    return run


def test_expected_errors_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli.doctor, "run", raising(DataError("pixels: must be finite")))
    assert cli.main(["doctor"]) == cli.USER_ERROR == 2
    assert capsys.readouterr().err == "qfx: pixels: must be finite\n"


def test_disagreement_has_its_own_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(cli.doctor, "run", raising(VerificationError("hls4ml: 3 codes differ")))
    assert cli.main(["doctor"]) == cli.DISAGREEMENT == 1
    assert capsys.readouterr().err == "qfx: hls4ml: 3 codes differ\n"


@pytest.mark.parametrize("arguments", [["doctor", "-v"], ["-v", "doctor"]])
def test_verbose_shows_the_traceback(arguments, monkeypatch):
    monkeypatch.setattr(cli.doctor, "run", raising(DataError("pixels: must be finite")))
    with pytest.raises(DataError):
        cli.main(arguments)


def test_bugs_are_not_hidden(monkeypatch):
    monkeypatch.setattr(cli.doctor, "run", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_interruption(monkeypatch, capsys):
    monkeypatch.setattr(cli.doctor, "run", raising(KeyboardInterrupt()))
    assert cli.main(["doctor"]) == cli.INTERRUPTED == 130
    assert capsys.readouterr().err == "qfx: interrupted\n"
    monkeypatch.setattr(cli.doctor, "run", raising(KeyboardInterrupt("go on so")))
    assert cli.main(["doctor"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "qfx: interrupted: go on so\n"


def test_errors_are_json_where_results_are(monkeypatch, capsys):
    monkeypatch.setattr(cli.boards, "run", raising(DataError("pixels: must be finite")))
    assert cli.main(["boards", "--json"]) == cli.USER_ERROR
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": {"kind": "DataError", "text": "pixels: must be finite"}
    }
    assert captured.err == "qfx: pixels: must be finite\n"


def test_errors_of_a_file_of_options_are_json_too(tmp_path, capsys):
    (tmp_path / "o.yaml").write_text("imput_shape: 3")
    arguments = ["export", "m:f", "--json", "--config", str(tmp_path / "o.yaml")]
    assert cli.main(arguments) == cli.USER_ERROR
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "OptionError"


@pytest.mark.parametrize("command", [name.__name__.rpartition(".")[2] for name in COMMANDS])
def test_every_command_has_json_and_logs(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert "--json" in shown and "--verbose" in shown


def test_exit_statuses_are_in_the_help_and_in_the_documentation(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text(encoding="utf-8")
    for status in (cli.OK, cli.DISAGREEMENT, cli.USER_ERROR, cli.INTERRUPTED):
        assert re.search(rf"^  {status} ", shown, re.MULTILINE)
        assert f"\n| {status} | " in page


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    monkeypatch.setattr(cli.boards, "run", raising(error))
    assert cli.main(["boards"]) == cli.USER_ERROR
    assert capsys.readouterr().err == (
        "qfx: package torch is not installed: `qfx doctor` tells what is missing\n"
    )
    ours = ModuleNotFoundError("no module", name="qfx_plugin.nothing")
    monkeypatch.setattr(cli.boards, "run", raising(ours))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["boards"])


def test_logs(capsys):
    assert cli.main(["boards", "pynq-z2", "--json", "-v"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["name"] == "pynq-z2"
    assert f"qfx: qfx-plugin {__version__}" in captured.err and "exit status 0" in captured.err


def test_completion_knows_commands_and_flags(capsys):
    assert cli.main(["completion", "bash", "--json"]) == 0
    script = json.loads(capsys.readouterr().out)["script"]
    assert "--input-shape" in script and "verify" in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["veryfy", "m.onnx"], "qfx: error: command must be one of demo, {}, not 'veryfy' "
         "(did you mean verify?); see `qfx --help`"),
        (["verify", "m.onnx", "--sample", "3"], "qfx verify: error: unrecognized arguments: "
         "--sample 3 (did you mean --samples?); see `qfx verify --help`"),
        (["build", "m.onnx", "--targt=rtl"], "qfx build: error: unrecognized arguments: "
         "--targt=rtl (did you mean --target?); see `qfx build --help`"),
        (["completion", "zhs"], "qfx completion: error: shell must be one of bash, zsh, tcsh, "
         "not 'zhs' (did you mean zsh?); see `qfx completion --help`"),
        (["boards", "a", "b"], "qfx boards: error: unrecognized arguments: b; see "
         "`qfx boards --help`"),
        (["verify", "--executors", "qonnx"], "qfx verify: error: the following arguments are "
         "required: model; see `qfx verify --help`"),
    ],
)  # fmt: skip
def test_wrong_words_are_one_line_with_the_nearest(arguments, said, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    others = ", ".join(name.__name__.rpartition(".")[2] for name in COMMANDS[1:])
    assert capsys.readouterr().err == said.format(others) + "\n"


@pytest.mark.parametrize(
    "line",
    [
        "verify m.onnx --executors qonnx finn --samples 3 -v",
        "verify --executors qonnx finn --samples 3 -v m.onnx",
        "verify -v --samples=3 --executors qonnx finn m.onnx",
        "verify --executors qonnx finn m.onnx -v --samples 3",
    ],
)
def test_the_model_stands_before_or_behind_the_options(line):
    found = cli.make_parser().parse_args(line.split())
    assert (found.model, found.executors) == (Path("m.onnx"), ["qonnx", "finn"])
    assert (found.samples, found.verbose) == (3, True)


def test_the_model_of_a_build_stands_behind_its_options():
    line = "build --target rtl -Ofold_above=3 -O states=x --seed -1 m.onnx -o b --list"
    found = cli.make_parser().parse_args(line.split())
    assert (found.model, found.out, found.seed) == (Path("m.onnx"), Path("b"), -1)
    assert found.option == ["fold_above=3", "states=x"] and found.list
