"""`qfx build`, `qfx report`, `qfx boards`, `qfx completion`: options, lines, JSON, exit status."""

from __future__ import annotations

import json
import subprocess

import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build import BuildOptions
from qfx_plugin.cli import main, make_parser
from qfx_plugin.cli.build import chosen_options
from qfx_plugin.errors import OptionError
from tests.build import toy_target
from tests.report.sample import make_report


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    toy_target.install(monkeypatch)


@pytest.fixture
def command(tmp_path) -> list[str]:
    (tmp_path / "m.onnx").write_bytes(b"model")
    return ["build", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "out"), "--target", "toy"]


def parsed(*arguments: str) -> BuildOptions:
    return chosen_options(make_parser().parse_args(["build", *arguments]))


def test_stages_are_shown(command, tmp_path, capsys):
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["first", "second", "third", "last"]
    assert lines[-2] == f"Built for ultra96-v2: {tmp_path / 'out'} (report.html, report.json)"
    assert lines[-1] == "Complete."
    assert main(command) == 0
    assert "  first (earlier result)" in capsys.readouterr().out


def test_json(command, capsys):
    assert main([*command, "--json", "--until", "second"]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert [step["status"] for step in data["steps"]] == [
        "done", "done", "not asked for", "not asked for",
    ]  # fmt: skip
    assert "first" in captured.err


def test_flags_equal_a_file(tmp_path):
    flags = parsed(
        "m.onnx", "--target", "toy", "--board", "pynq-z2", "--clock-mhz", "125", "--samples", "9",
        "--seed", "3", "-O", "letter=q", "-O", "unused=5",
    )  # fmt: skip
    path = flags.save(tmp_path / "options.yaml")
    assert parsed("m.onnx", "--config", str(path)) == flags
    assert parsed("m.onnx", "--config", str(path), "--seed", "4", "-O", "letter=r") == (
        BuildOptions.parse(
            flags.as_table() | {"seed": 4, "toy": {"letter": "r", "fail": "", "unused": 5}}
        )
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("letter", "option must be NAME=VALUE, not 'letter'"),
        (
            "unusd=1",
            "option of target toy must be one of letter, fail, unused, not 'unusd' "
            "(did you mean unused?)",
        ),
        ("unused=many", "unused must be an integer, not 'many'"),
    ],
)
def test_options_that_are_none(option, message):
    with pytest.raises(OptionError) as error:
        parsed("m.onnx", "--target", "toy", "-O", option)
    assert str(error.value) == message


def test_errors_are_one_line(command, capsys):
    assert main([*command, "-O", "fail=second"]) == 2
    assert capsys.readouterr().err == "qfx: second: told to fail\n"
    assert main(["build", "--target", "toy"]) == 2
    assert capsys.readouterr().err == (
        "qfx: model is missing: name a QONNX file, as in `qfx build m.onnx`\n"
    )


def test_list(capsys):
    assert main(["build", "--target", "hls4ml", "--list"]) == 0
    printed = capsys.readouterr().out
    assert "handover" in printed and "-O interface" in printed


def test_report(command, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["report", out]) == 2
    assert capsys.readouterr().err == f"qfx: {out}: there is no such folder\n"
    assert main(["report", str(tmp_path)]) == 2
    assert "is no build folder: it has no manifest.json" in capsys.readouterr().err
    main([*command, "-O", "fail=second"])
    capsys.readouterr()
    assert main(["report", out, "--html", str(tmp_path / "r.html")]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "The last run failed: step second: second: told to fail" in printed
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!doctype html>") and "told to fail" in page
    assert main(["report", out, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["steps"][0]["done"] is True


def test_boards(capsys):
    assert main(["boards"]) == 0
    printed = capsys.readouterr().out
    assert "ultra96-v2" in printed and "70,560" in printed and "pynq-z2" in printed
    exact = "ultra96-v2 makes exactly 50, 60, 62.5, 75, 100, 125, 150, 187.5, 250, 300 MHz\n"
    assert exact in printed
    assert main(["boards", "ultra96v2"]) == 0
    assert "avnet.com:ultra96v2:part0:1.2" in capsys.readouterr().out
    assert main(["boards", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told[:2]] == ["ultra96-v2", "pynq-z2"]
    assert told[1]["clock"]["exact_mhz"] == [50, 62.5, 100, 125, 200, 250]
    assert main(["boards", "pynq-z2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["part"] == load_board("pynq-z2").part
    assert main(["boards", "tang-nano-20k"]) == 0
    assert "clock 4, serial port in 70, out 69" in capsys.readouterr().out
    assert main(["boards", "none"]) == 2
    assert "board must be one of ultra96-v2, pynq-z2" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "verify" in script and "boards" in script


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("qfx bui", "build"),
        ("qfx build --targ", "--target"),
        ("qfx build --target h", "hls4ml"),
        ("qfx build --board ultra", "ultra96-v2"),
        ("qfx build my_m", "my_model.onnx"),
        ("qfx report my_", "my_build"),
        ("qfx boards tang", "tang-nano-20k"),
    ],
)
def test_completion_works_in_bash(typed, completed, tmp_path, capsys):
    (tmp_path / "my_model.onnx").touch()
    (tmp_path / "my_build").mkdir()
    main(["completion", "bash"])
    script = capsys.readouterr().out
    ask = (
        f"COMP_WORDS=({typed}); COMP_CWORD={typed.count(' ')}; COMP_LINE='{typed}'; "
        "_shtab_qfx; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    result = subprocess.run(
        ["bash"], input=f"{script}\n{ask}", capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [completed]


def test_report_of_a_demo(tmp_path, capsys):
    demo = make_report()
    (tmp_path / "report.json").write_text(demo.to_json())
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "--html", str(page)]) == 0
    assert "MLP, QFX 4-bit" in capsys.readouterr().out
    assert "MLP, QFX 4-bit" in page.read_text()
    assert main(["report", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"]["name"] == "digits"


def test_an_interrupted_build_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("qfx_plugin.build.build", interrupted)
    assert main(["build", "--target", "rtl", "m.onnx", "-o", "b"]) == 130
    assert capsys.readouterr().err == (
        "qfx: interrupted: finished steps are kept in b; the same command goes on from there\n"
    )
