"""The machinery of builds: what is done again, what is reused, what a failure leaves."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from qfx_plugin.build import BuildOptions, Manifest, build
from qfx_plugin.build.steps import Step
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.workspace import Workspace, digests
from qfx_plugin.errors import DataError, OptionError, TargetError, ToolMissingError
from qfx_plugin.needs import NEEDS, Need
from tests.build import toy_target


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    toy_target.install(monkeypatch)


@pytest.fixture
def steps(monkeypatch):
    """Change the toy's steps by name: `steps(second=dict(version=2))`."""

    def change(**changes):
        changed = tuple(replace(s, **changes.get(s.name, {})) for s in toy_target.STEPS)
        monkeypatch.setattr(toy_target, "STEPS", changed)

    return change


def statuses(result) -> str:
    return " ".join(step.status for step in result.steps)


NAMES = ("first", "second", "third", "last")
ALL = "done done done done"
REUSED = "reused reused reused reused"


def test_a_second_run_does_nothing(model, out):
    assert statuses(build(model, out=out, target="toy")) == ALL
    before = {step: digests(out / step) for step in NAMES}
    result = build(model, out=out, target="toy")
    assert statuses(result) == REUSED
    assert result.complete and not result.missing and not result.command
    assert {step: digests(out / step) for step in NAMES} == before


def test_folder_and_manifest(model, out):
    build(model, out=out, target="toy")
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock", "first", "last", "logs", "manifest.json", "model.onnx", "options.yaml",
        "report.html", "report.json", "second", "third",
    ]  # fmt: skip
    manifest = Manifest.load(out)
    record = manifest.steps["last"]
    assert record.outputs == digests(out / "last") and len(record.outputs) == toy_target.FILES
    assert record.facts["files"] == toy_target.FILES and record.seconds >= 0
    assert "last done" in (out / "logs" / "last.log").read_text()


def test_a_changed_option_redoes_what_reads_it(model, out):
    build(model, out=out, target="toy")
    assert statuses(build(model, out=out, target="toy", letter="b")) == "done done reused done"
    assert statuses(build(model, out=out, target="toy", letter="b", unused=3)) == REUSED


def test_a_changed_board_redoes_what_reads_it(model, out):
    build(model, out=out, target="toy")
    result = build(model, out=out, target="toy", board="pynq-z2")
    assert statuses(result) == "reused reused done reused"  # third's outputs are the same
    assert result.board == "pynq-z2"


def test_a_changed_model_redoes_all(model, out):
    build(model, out=out, target="toy")
    model.write_bytes(b"another")
    assert statuses(build(model, out=out, target="toy")) == ALL


def test_a_changed_version_of_a_step(model, out, steps):
    build(model, out=out, target="toy")
    steps(second={"version": 2})
    assert statuses(build(model, out=out, target="toy")) == "reused done reused reused"


def test_a_changed_version_of_the_product(model, out, monkeypatch):
    build(model, out=out, target="toy")
    monkeypatch.setattr("qfx_plugin.build.api.__version__", "9.9")
    assert statuses(build(model, out=out, target="toy")) == ALL
    assert Manifest.load(out).product == "9.9"


def test_changed_facts_of_a_step_redo_what_reads_it(model, out, monkeypatch):
    build(model, out=out, target="toy")
    work = toy_target._work

    def more(context, name, *earlier):
        return work(context, name, *earlier) | ({"more": 1} if name == "first" else {})

    monkeypatch.setattr(toy_target, "_work", more)
    assert statuses(build(model, out=out, target="toy", from_step="first")) == (
        "done done reused done"
    )  # its files are the same, and third does not read it
    assert statuses(build(model, out=out, target="toy")) == REUSED


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_manifest_of_another_version(version, model, out):
    build(model, out=out, target="toy")
    table = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(table | {"version": version}))
    with pytest.raises(DataError, match=f"manifest.json: version must be 1, not {version!r}$"):
        Manifest.load(out)
    assert statuses(build(model, out=out, target="toy")) == ALL


@pytest.mark.parametrize("damage", ["delete", "alter", "remove folder", "executable"])
def test_altered_outputs_are_made_again(damage, model, out):
    build(model, out=out, target="toy")
    expected = digests(out / "second")
    path = out / "second" / "3.txt"
    if damage == "delete":
        path.unlink()
    elif damage == "alter":
        path.write_text("x")
    elif damage == "executable":
        path.chmod(0o755)
    else:
        (out / "second").rename(out / "elsewhere")
    assert statuses(build(model, out=out, target="toy")) == "reused done reused reused"
    assert digests(out / "second") == expected


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_manifest_means_a_fresh_start(text, model, out):
    build(model, out=out, target="toy")
    (out / "manifest.json").write_text(text)
    with pytest.raises(DataError):
        Manifest.load(out)
    assert statuses(build(model, out=out, target="toy")) == ALL


def test_a_failure_leaves_nothing_and_is_remembered(model, out):
    with pytest.raises(DataError, match="second: told to fail"):
        build(model, out=out, target="toy", fail="second")
    assert not (out / "second").exists() and not (out / ".partial").exists()
    failed = Manifest.load(out).failed
    assert failed == {"step": "second", "message": "second: told to fail"}
    assert "told to fail" in (out / "logs" / "second.log").read_text()
    assert statuses(build(model, out=out, target="toy")) == ALL
    assert Manifest.load(out).failed == {}


def test_from_and_until(model, out):
    result = build(model, out=out, target="toy", until="second")
    assert statuses(result) == "done done not asked for not asked for"
    assert not result.complete
    with pytest.raises(OptionError) as error:
        build(model, out=out, target="toy", from_step="last")
    assert str(error.value) == (
        "step third must be done before last: its result is missing or no longer good"
    )
    build(model, out=out, target="toy")
    assert statuses(build(model, out=out, target="toy", from_step="second")) == (
        "reused done reused reused"
    )


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ({"until": "lst"}, "step of target toy must be one of first, second, third, last, not "
         "'lst' (did you mean last?)"),
        ({"from_step": "last", "until": "first"},
         "first step must not come after the last, not 'last' after 'first'"),
    ],
)  # fmt: skip
def test_impossible_spans(span, message, model, out):
    with pytest.raises(OptionError) as error:
        build(model, out=out, target="toy", **span)
    assert str(error.value) == message


def anvil(monkeypatch, versions, **facts):
    """A tool that is there if it has a version."""
    tool = SimpleNamespace(
        available=lambda: bool(versions), version=lambda: versions["anvil"], find=lambda: None
    )
    monkeypatch.setitem(sys.modules, "anvil", tool)
    need = Need("anvil", "tool", "forging", "buy one", module="anvil", **facts)
    monkeypatch.setitem(NEEDS, "anvil", need)


def test_missing_tools(model, out, steps, monkeypatch):
    anvil(monkeypatch, {}, title="an anvil")
    steps(third={"needs": ("anvil",)})
    with pytest.raises(ToolMissingError) as error:
        build(model, out=out, target="toy")
    assert str(error.value) == "step third needs an anvil, which is missing: buy one"
    steps(last={"needs": ("anvil",), "by_vendor": True}, third={"needs": ()})
    result = build(model, out=out, target="toy")
    assert statuses(result).endswith("waiting") and not result.complete
    assert result.missing == "step last needs an anvil, which is missing: buy one"
    assert result.command == f"bash {out / 'third' / 'continue.sh'}"
    with pytest.raises(ToolMissingError, match=f"everything up to there is ready in {out}/third"):
        build(model, out=out, target="toy", until="last")


def test_a_result_made_elsewhere_stays_good_without_its_tool(model, out, steps, monkeypatch):
    versions = {"anvil": "1"}
    anvil(monkeypatch, versions)
    steps(last={"needs": ("anvil",), "by_vendor": True})
    build(model, out=out, target="toy")
    versions["anvil"] = "2"
    assert statuses(build(model, out=out, target="toy")) == "reused reused reused done"
    versions.clear()
    assert statuses(build(model, out=out, target="toy")) == REUSED


def test_facts_must_be_plain(model, out, monkeypatch):
    step = Step("first", "bad", lambda context: {"x": object()})
    monkeypatch.setattr(toy_target, "STEPS", (step,))
    with pytest.raises(TargetError, match="step first: facts must be plain JSON values"):
        build(model, out=out, target="toy")
    assert not (out / "first").exists()


def test_steps_see_only_what_comes_before(model, out, monkeypatch):
    first = toy_target.STEPS[0]
    apart = Step("apart", "", lambda c: c.facts("first"), after=())
    monkeypatch.setattr(toy_target, "STEPS", (first, apart))
    with pytest.raises(OptionError) as error:
        build(model, out=out, target="toy")
    assert str(error.value) == ("step must be one that this step comes after (none), not 'first'")


def test_one_build_at_a_time(model, out):
    with Workspace(out).locked():
        with pytest.raises(TargetError) as error:
            build(model, out=out, target="toy")
        assert str(error.value) == f"{out}: another build is running in this folder"
    build(model, out=out, target="toy")


def test_saved_options_are_the_next_input(model, out, tmp_path):
    build(model, out=out, target="toy", letter="z", samples=7)
    options = BuildOptions.load(out / "options.yaml")
    assert options.settings.letter == "z" and options.samples == 7
    assert statuses(build(model, out=out, options=out / "options.yaml")) == REUSED
    assert options.save(tmp_path / "o.json").exists()
    assert BuildOptions.load(tmp_path / "o.json") == options
    with pytest.raises(OptionError, match="options must hold letter, not stand beside it"):
        build(model, out=out, options=options, letter="a")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"target": "vhdl"}, "target must be one of "),
        ({"target": "toy", "board": "none"}, "board must be one of "),
        ({"target": "toy", "clock_mhz": 1000},
         "clock_mhz of board ultra96-v2 must be 10 to 300 MHz, not 1000"),
        ({"target": "toy", "samples": 0}, "options: samples must be at least 1, not 0"),
        ({"target": "toy", "hls4ml": {}}, "options: hls4ml holds options, but target is 'toy'"),
        ({"target": "toy", "toy": {"lettr": "a"}}, "options: toy: field must be one of "),
        ({"target": "toy", "toy": 3}, "options: toy must be a table, not 3"),
        ({"target": "toy", "version": 2}, "options: version must be one of 1, not 2"),
    ],
)  # fmt: skip
def test_options_that_break_a_rule(table, message):
    with pytest.raises(OptionError) as error:
        BuildOptions.parse(table)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("model", [3, None])
def test_models_that_are_none(model, out):
    with pytest.raises(OptionError, match="model must be a path, an ONNX model or a torch module"):
        build(model, out=out, target="toy")


def test_a_model_that_is_missing(out, tmp_path):
    with pytest.raises(DataError, match="none.onnx: cannot be read: No such file"):
        build(tmp_path / "none.onnx", out=out, target="toy")


def test_an_output_that_is_a_file(model, tmp_path):
    with pytest.raises(DataError, match="cannot be a build folder"):
        build(model, out=model, target="toy")


def test_the_summary_speaks_one_language_of_resources(model, out, monkeypatch):
    used = {"LUT": 7, "FF": 5, "CARRY8": 2, "DSP": 0, "BRAM36": 0.5}
    facts = {"resources": {"source": "Yosys estimate", "used": used}}
    monkeypatch.setattr(toy_target, "STEPS", (Step("first", "", lambda context: facts),))
    build(model, out=out, target="toy")
    report = summarize(out)
    assert report.resources[0].used == {"lut": 7, "ff": 5, "carry": 2, "dsp": 0, "bram36": 0.5}
    assert report.share(report.resources[0], "carry") == 2 / 8820
    assert "CARRY8" not in (out / "report.html").read_text()


def test_the_result_as_json(model, out):
    data = json.loads(build(model, out=out, target="toy").to_json())
    assert data["complete"] is True
    assert [step["name"] for step in data["steps"]] == ["first", "second", "third", "last"]
