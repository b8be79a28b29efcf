"""Options of the targets: the same names, defaults and rules by every door."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import fields

import pytest

import qfx_plugin
from qfx_plugin import finn_plugin, hls4ml_backend
from qfx_plugin.boards import list_boards
from qfx_plugin.boards.board import ZYNQ
from qfx_plugin.build import BuildOptions, build
from qfx_plugin.build.flow import TARGETS, find_target
from qfx_plugin.cli.build import chosen_options
from qfx_plugin.cli.parser import make_parser
from qfx_plugin.config import as_table, options, setting
from qfx_plugin.errors import OptionError
from qfx_plugin.hls4ml_backend.options import Options
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.rtl.graph.kernel import GraphOptions
from qfx_plugin.rtl.options import RtlOptions
from qfx_plugin.rtl.project import build_network
from qfx_plugin.verify import verify
from tests import qonnx_models as models


@pytest.mark.parametrize(("target", "api"), [("hls4ml", Options), ("rtl", RtlOptions)])
def test_python_and_builds_have_the_same_fields(target, api):
    theirs = {field.name: field for field in fields(api)}
    ours = {field.name: field for field in fields(find_target(target).options)}
    shared = theirs.keys() & ours.keys()
    assert len(shared) >= 5
    for name in shared:
        assert ours[name].default == theirs[name].default, name
        assert ours[name].metadata == theirs[name].metadata, name


@pytest.mark.parametrize(
    "function", [finn_plugin.convert, finn_plugin.lower, finn_plugin.build_steps]
)
def test_finn_has_one_default(function):
    default = inspect.signature(function).parameters["max_threshold_bits"].default
    assert default == find_target("finn").options().max_threshold_bits


@pytest.mark.parametrize("board", [board.name for board in list_boards() if board.family in ZYNQ])
def test_a_board_gives_one_clock_and_part(board):
    built = BuildOptions.parse({"target": "hls4ml", "board": board})
    config = hls4ml_backend.config_from_qonnx(models.mlp((4, 3), 6), board=board)
    assert config["Model"]["QFX"]["ClockPeriod"] == 1000.0 / built.clock_mhz
    assert config["Model"]["QFX"]["Part"] == built.load_board().part
    assert config["Model"]["QFX"]["ClockUncertainty"] == built.settings.clock_uncertainty


@pytest.mark.parametrize("target", ["finn", "hls4ml", "rtl"])
def test_a_file_a_flag_and_python_give_the_same(target, tmp_path):
    plain = BuildOptions.parse({"target": target})
    flags = make_parser().parse_args(["build", "m.onnx", "--target", target])
    assert chosen_options(flags) == plain
    assert BuildOptions.load(plain.save(tmp_path / "o.yaml")) == plain
    assert plain.settings == TARGETS[target].options()
    assert TARGETS[target].options(**as_table(plain.settings)) == plain.settings


MODEL = models.mlp((4, 3), 6)
GRAPH = load_qonnx(MODEL)
DOORS = {
    "convert": (lambda o: hls4ml_backend.convert(MODEL, "no", **o), "stratgy", "strategy"),
    "config of convert": (lambda o: hls4ml_backend.convert(MODEL, "no", **o), "confg", "config"),
    "config_from_qonnx": (
        lambda o: hls4ml_backend.config_from_qonnx(MODEL, **o), "granularty", "granularity",
    ),
    "lower for hls4ml": (lambda o: hls4ml_backend.lower(GRAPH, **o), "io_tpye", "io_type"),
    "compile_rtl": (lambda o: qfx_plugin.compile_rtl(GRAPH, "no", **o), "sampels", "samples"),
    "style of compile_rtl": (lambda o: qfx_plugin.compile_rtl(GRAPH, "no", **o), "stile", "style"),
    "RtlOptions": (lambda o: RtlOptions(**o), "fold_abov", "fold_above"),
    "Options": (lambda o: Options(**o), "bord", "board"),
    "FINN": (
        lambda o: finn_plugin.convert(MODEL, **o), "max_treshold_bits", "max_threshold_bits",
    ),
    "build_steps": (lambda o: finn_plugin.build_steps(**o), "verfy", "verify"),
    "lower for FINN": (
        lambda o: finn_plugin.lower(GRAPH, **o), "max_treshold_bits", "max_threshold_bits",
    ),
    "verify": (lambda o: verify(MODEL, [[0.0] * 4], **o), "executers", "executors"),
    "verify_agreement": (
        lambda o: qfx_plugin.verify_agreement(MODEL, [[0.0] * 4], **o), "limit", "limits",
    ),
    "build, common": (lambda o: build("m.onnx", out="no", **o), "sampels", "samples"),
    "build, own": (lambda o: build("m.onnx", out="no", **o), "strategi", "strategy"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_a_misspelt_option_is_an_error_with_the_nearest_name(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, wrong, right = DOORS[door]
    with pytest.raises(OptionError, match=rf"not '{wrong}' \(did you mean {right}\?\)$"):
        call({wrong: 1})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RtlOptions(style="x"),
         "style must be one of auto, unrolled, streaming, recurrent, not 'x'"),
        (lambda: RtlOptions(style="recurrent"),
         "style 'recurrent' and states need each other: states='h=h_next' leads from inputs of a "
         "step to outputs, not style 'recurrent' with states ''"),
        (lambda: RtlOptions(states="h=y"),
         "style 'recurrent' and states need each other: states='h=h_next' leads from inputs of a "
         "step to outputs, not style 'auto' with states 'h=y'"),
        (lambda: RtlOptions(style="recurrent", states="h"),
         "states must be INPUT=OUTPUT, INPUT=OUTPUT, not 'h'"),
        (lambda: RtlOptions(style="recurrent", states="h=y", fold="fc=1x1"),
         "fold needs style 'streaming': what is recurrent is one adder graph, which shares "
         "nothing"),
        (lambda: RtlOptions(effort=101), "effort must be at most 100, not 101"),
        (lambda: RtlOptions(adders_per_stage=0.5), "adders_per_stage must be at least 1, not 0.5"),
        (lambda: RtlOptions(fold="fc1"), "fold must be NAME=PExSIMD, NAME=PExSIMD, ..., not 'fc1'"),
        (lambda: RtlOptions(fold={"fc1": (0, 1)}),
         "fold of 'fc1' must be two numbers, outputs and inputs, not (0, 1)"),
        (lambda: RtlOptions(fold=3), "fold must be a text, not 3"),
        (lambda: Options(target_rate=0), "target_rate must be above 0, not 0.0"),
        (lambda: Options(reuse_factor=1.5), "reuse_factor must be an integer, not 1.5"),
        (lambda: Options(accept_inexact=1), "accept_inexact must be true or false, not 1"),
        (lambda: Options(clock_period="5"), "clock_period must be a number, not '5'"),
    ],
)  # fmt: skip
def test_values_are_checked_where_python_makes_them(call, message):
    with pytest.raises(OptionError) as error:
        call()
    assert str(error.value) == message


def test_folds_are_texts_or_tables():
    text, table = RtlOptions(fold="fc1=4x8"), RtlOptions(fold={"fc1": [4, 8]})
    assert text.folds == table.folds == {"fc1": (4, 8)}
    parsed = BuildOptions.parse({"target": "rtl", "rtl": {"fold": {"fc1": [4, 8]}}})
    assert parsed.settings.folds == text.folds
    assert BuildOptions.parse(parsed.as_table()) == parsed


def test_options_by_name_are_those_of_the_object(tmp_path):
    named = qfx_plugin.compile_rtl(GRAPH, tmp_path, samples=2, style="streaming", name="top")
    assert (named.style, named.name) == ("streaming", "top")
    whole = build_network(GRAPH, RtlOptions(style="streaming", name="top"))
    assert whole.files == named.files
    with pytest.raises(OptionError, match="^options must hold style, not stand beside it$"):
        qfx_plugin.compile_rtl(GRAPH, tmp_path, options=RtlOptions(), style="streaming")


def test_adder_graphs_are_pipelined_by_numbers_or_by_an_object():
    assert RtlOptions(adders_per_stage=2, effort=1).adder_graph == GraphOptions(None, 2.0, 1)
    flat = GraphOptions(latency=0, adders_per_stage=None)
    assert RtlOptions(graph=flat).adder_graph is flat
    assert RtlOptions().adder_graph == GraphOptions()
    with pytest.raises(OptionError, match="^graph must be a table, not 3$"):
        RtlOptions(graph=3)


def test_a_class_of_options_is_a_dataclass():
    @options
    class Own:
        count: int = setting(3, "How many.", minimum=1)

    assert Own(4) == Own(count=4) == dataclasses.replace(Own(), count=4)
    for wrong in (lambda: Own(0), lambda: dataclasses.replace(Own(), count=0)):
        with pytest.raises(OptionError, match="^count must be at least 1, not 0$"):
            wrong()
    with pytest.raises(dataclasses.FrozenInstanceError):
        Own().count = 3
