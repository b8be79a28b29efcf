"""A target of another distribution, installed from a folder outside of QFX."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from qfx_plugin.build import build
from qfx_plugin.build.flow import TARGETS
from qfx_plugin.cli import main
from qfx_plugin.errors import OptionError, PluginError, PluginWarning
from tests import qonnx_models as models
from tests.distributions import install

TOY = Path(__file__).parent / "toy"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The toy's folder as setuptools installs it: module and metadata."""
    folder = tmp_path_factory.mktemp("outside")
    source, site = folder / "qfx-toy", folder / "site"
    shutil.copytree(TOY, source)
    site.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", "import setuptools; setuptools.setup()", "-q"]
    command += ["build_py", "--build-lib", str(site), "egg_info", "--egg-base", str(site)]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return site


@pytest.fixture
def qfx(site, tmp_path):
    """`qfx` in a process that has the toy installed."""
    onnx.save(models.mlp(), str(tmp_path / "m.onnx"))

    def run(*arguments: str) -> str:
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        result = subprocess.run(
            [sys.executable, "-m", "qfx_plugin.cli", *arguments],
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_it_builds_and_verifies(qfx, tmp_path):
    build = ["build", "m.onnx", "--target", "toy", "-O", "letter=z", "--samples", "20"]
    data = json.loads(qfx(*build, "--json"))
    assert [step["status"] for step in data["steps"]] == ["done", "done"]
    assert (tmp_path / "build" / "spell" / "codes.txt").read_text() == "zzz 200\n"
    again = json.loads(qfx("build", "m.onnx", "--config", "build/options.yaml", "--json"))
    assert [step["status"] for step in again["steps"]] == ["reused", "reused"]
    verified = json.loads(qfx("verify", "m.onnx", "--executors", "toy", "--json"))
    assert verified["agrees"] and verified["executors"][0]["version"] == "qfx-toy 0.3"


@pytest.fixture
def shown(site, monkeypatch, capsys):
    """What `qfx` prints, in words."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> str:
        with suppress(SystemExit):
            assert main(arguments) == 0
        return " ".join(capsys.readouterr().out.split())

    return run


def test_it_is_in_every_list(qfx, shown):
    found = json.loads(qfx("doctor", "--json"))
    toys = [part for part in found["parts"] if part["origin"] == "qfx-toy 0.3"]
    assert [(part["kind"], part["name"]) for part in toys] == [
        ("target", "toy"), ("executor", "toy"),
    ]  # fmt: skip
    assert "spells codes (of qfx-toy 0.3)" in shown("doctor")
    assert "finn, hls4ml, rtl, toy (default" in shown("build", "--help")
    assert "rtl, toy (default" in shown("verify", "--help")
    listed = shown("build", "--target", "toy", "--list")
    assert "Steps of toy: spells codes" in listed and "What is written." in listed
    script = shown("completion", "bash")
    for name in ("build___target", "verify___executors"):
        assert "rtl toy" in script.split(f"_shtab_qfx_{name}_choices=(")[1].split(")")[0]


def test_it_is_in_the_support_matrix(site, monkeypatch):
    from tests.docs import support_matrix

    monkeypatch.syspath_prepend(str(site))
    columns = support_matrix.targets()
    assert list(columns)[:6] == [
        "hls4ml, arrays", "hls4ml, streams", "FINN", "RTL, unrolled", "RTL, streaming", "toy",
    ]  # fmt: skip
    monkeypatch.setattr(support_matrix, "targets", lambda: {"toy": columns["toy"]})
    text = str(support_matrix.operations())
    assert "| `Relu` | yes |" in text and "toy: takes no Concat" in text
    assert "| `toy` | qfx-toy |" in support_matrix.executors()


GOOD = """
from dataclasses import dataclass
from qfx_plugin.build.steps import Step
from qfx_plugin.config import setting

@dataclass(frozen=True)
class OPTIONS:
    letter: str = setting("a", "What is written.")

ABOUT = "a target"
STEPS = (Step("only", "one", lambda context: None),)
"""

BROKEN = {
    "raise OSError('no\\nlicence')": "OSError: no",
    "def f(:": "SyntaxError: invalid syntax (wrong.py, line 12)",
    "ABOUT = 3": "ABOUT must be a line of text, not 3",
    "OPTIONS = {}": "OPTIONS must be a dataclass, not {}",
    "STEPS = 3": "STEPS must be a tuple of Step, not 3",
    "STEPS = ()": "STEPS must have one that needs no tool of a vendor",
    "STEPS *= 2": "STEPS must have different names of a-z, 0-9 and _, not 'only'",
    "STEPS = (Step('../x', '', None),)":
        "STEPS must have different names of a-z, 0-9 and _, not '../x'",
    "OPTIONS.__dataclass_fields__['letter'].name = 'samples'":
        "OPTIONS must not have samples, which every build has",
    "OPTIONS = dataclass(type('O', (), {'__annotations__': {'x': int}}))":
        "OPTIONS must have a default for every field, not none for x",
    "OPTIONS = dataclass(type('O', (), {'__annotations__': {'x': int}, 'x': 3}))":
        "OPTIONS must say by `setting` what x is",
}  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_what_is_broken_is_one_error(line, tmp_path, monkeypatch, capsys):
    points = {"qfx.targets": {"wrong": "wrong"}}
    site = install(tmp_path / "site", "wrong", f"{GOOD}{line}\n", points)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    (tmp_path / "m.onnx").write_bytes(b"model")
    text = f"target 'wrong' of wrong 1.0 cannot be used: {BROKEN[line]}"
    with pytest.raises(PluginError) as error:
        build(tmp_path / "m.onnx", out=tmp_path / "out", target="wrong")
    assert str(error.value) == text
    assert not (tmp_path / "out").exists()
    assert main(["build", "m.onnx", "--target", "wrong"]) == 2
    assert capsys.readouterr().err == f"qfx: {text}\n"
    with warnings.catch_warnings():  # whom it does not concern is not told
        warnings.simplefilter("error")
        assert main(["build", "--target", "rtl", "--list"]) == 0
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == [text]
    with pytest.warns(PluginWarning, match="cannot be used"):
        assert list(TARGETS) == ["finn", "hls4ml", "rtl"]
    sys.modules.pop("wrong", None)


@pytest.mark.parametrize("name", ["board", "My Target", "version"])
def test_names_that_options_have_are_refused(name, tmp_path, monkeypatch):
    points = {"qfx.targets": {name: "named"}}
    monkeypatch.syspath_prepend(str(install(tmp_path, "named", GOOD, points)))
    with pytest.raises(PluginError, match="name must be a word of a-z, 0-9 and _ that is no opt"):
        TARGETS.find(name)


def test_a_name_of_ours_stays_ours(tmp_path, monkeypatch, capsys):
    points = {"qfx.targets": {"rtl": "impostor"}}
    monkeypatch.syspath_prepend(str(install(tmp_path, "impostor", GOOD, points)))
    text = "target 'rtl' of impostor 1.0 is left out: qfx-plugin has one of this name"
    with pytest.warns(PluginWarning, match=text):
        assert len(TARGETS.find("rtl").steps) > 1
    assert TARGETS.problems() == (text,)
    with pytest.raises(OptionError, match=r"^target must be one of finn, hls4ml, rtl, not 'vhdl'"):
        TARGETS.find("vhdl")
