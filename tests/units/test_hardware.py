"""The sources: whole, in order, clean in Verilator; no multiplier and no DSP slice in Yosys."""

from __future__ import annotations

import re

import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.synthesis.estimate import estimate
from qfx_plugin.tools import verilator, yosys
from qfx_plugin.units.mvu import fold
from qfx_plugin.units.sources import packed, sources_of, unit_files
from tests.units.layers import linear_graph, product_of


@pytest.mark.parametrize(
    ("top", "parameters"),
    [
        ("qfx_mvu", {}),
        ("qfx_mvu", {"DATAPATH": 0, "SIMD": 8, "CHAIN": 3, "PE": 2, "K": 3}),
        ("qfx_mvu", {"DATAPATH": 0, "SPANS": 0, "MH": 1, "ISIGNED": 1}),
        ("qfx_mvu", {"DATAPATH": 1, "SIMD": 4, "WW": 7, "IW": 4, "ACCW": 12}),
        ("qfx_mvu", {"DATAPATH": 1, "MW": 1, "MH": 1, "IW": 1, "ISIGNED": 1}),
        ("qfx_mvu", {"DATAPATH": 2, "SIMD": 8, "PE": 8, "ISIGNED": 1, "USE_DSP": 0}),
        ("qfx_requant", {"SHIFT": 3, "ROUNDING": 6, "OVERFLOW": 1}),
        ("qfx_requant", {"SHIFT": -3, "EXTRA": 7, "NF": 3, "PE": 4, "OVERFLOW": 4, "RELU": 1}),
        ("qfx_requant", {"SHIFT": 40, "ROUNDING": 4, "OVERFLOW": 2}),
        ("qfx_requant", {"AFFINE": 1, "NF": 2, "SW": 30, "MW": 4, "LIMITED": 1, "LW": 9}),
        ("qfx_requant", {"AFFINE": 1, "SW": 40, "ISIGNED": 0, "RW": 5, "OVERFLOW": 3}),
        ("qfx_mvu", {"DEPTHWISE": 1, "PE": 4, "DATAPATH": 1}),
        ("qfx_pack", {"WORDS": 10}),
        ("qfx_unpack", {"WORDS": 3}),
        ("qfx_stream_reduce", {"FOLD": 3, "SUM": 1, "IN_SIGNED": 1, "OUT_BITS": 12}),
    ],
)
def test_no_warning_in_verilator(top, parameters):
    verilator.lint(sources_of(top), top, parameters=parameters)


@pytest.mark.parametrize("name", unit_files())
def test_every_unit_is_clean(name):
    if not name.endswith("_pkg"):
        verilator.lint(sources_of(name), name)


def test_one_module_or_package_a_file():
    for name, path in unit_files().items():
        lines = path.read_text().splitlines()
        heads = [re.match(r"(module|package) (\w+)", line) for line in lines]
        (head,) = filter(None, heads)
        assert head[2] == name and (head[1] == "package") == name.endswith("_pkg")
        assert lines[0].startswith("// ")


def test_a_file_comes_behind_those_that_it_uses():
    files = [path.stem for path in sources_of("qfx_requant", "qfx_mvu")]
    assert files[:3] == ["qfx_delay", "qfx_product", "qfx_modes_pkg"]
    assert files.index("qfx_cast") < files.index("qfx_requant") < files.index("qfx_mvu")
    assert len(files) == len(set(files))
    assert "qfx_modes_pkg" not in [path.stem for path in sources_of("qfx_mvu")]


def test_constants_are_packed_only_if_they_fit():
    assert packed([1, -2, 3], 4, signed=True) == "12'h3e1"
    assert packed([255, 0], 8) == "16'hff"
    for values, bits, signed in (
        ([8], 4, True),
        ([-9], 4, True),
        ([256], 8, False),
        ([-1], 8, False),
    ):
        with pytest.raises(
            TargetError, match=rf"^constant {values[0]} needs more than {bits} bits$"
        ):
            packed(values, bits, signed=signed)


def multipliers(folder, datapath: int) -> None:
    """Fails if the elaborated unit has a multiplication of signals."""
    for path in sources_of("qfx_mvu"):
        (folder / path.name).write_text(path.read_text())
    (folder / "weights.mem").write_text("0\n" * 16)
    (folder / "bias.mem").write_text("0\n" * 8)
    files = " ".join(path.name for path in sources_of("qfx_mvu"))
    given = f"-G DATAPATH={datapath} -G SIMD=4 -G K=2"
    script = [
        f"read_slang {given} --top qfx_mvu {files}",
        "proc",
        "opt",
        "select -assert-none t:$mul",
    ]
    yosys.run(script, folder)


@pytest.mark.parametrize("datapath", [0, 1])
def test_no_multiplication(tmp_path, datapath):
    multipliers(tmp_path, datapath)


def test_the_plain_sibling_multiplies(tmp_path):
    with pytest.raises(TargetError, match="select"):
        multipliers(tmp_path, 2)


@pytest.mark.slow
def test_no_dsp_slice_and_fewer_luts(tmp_path, rng):
    counts = {}
    for datapath, k in (("khot", 1), ("khot", 2), ("radix4", 2), ("mul", 2)):
        unit = fold(product_of(linear_graph(rng, 4, 8, k=k)), 1, 4, datapath=datapath, dsp=False)
        folder = tmp_path / f"{datapath}{k}"
        report = estimate(
            unit.write(folder), unit.name, memories=folder.glob("*.mem"), dsp=datapath != "mul"
        )
        assert report.total.dsp == 0
        counts[datapath, k] = report.total.lut - report.modules["qfx_rom"].lut
    assert counts["khot", 1] < counts["khot", 2] < counts["mul", 2]
    assert counts["radix4", 2] < counts["mul", 2]


@pytest.mark.slow
def test_dsp_multipliers_take_one_slice_a_lane(tmp_path, rng):
    unit = fold(product_of(linear_graph(rng, 2, 4)), 1, 2, datapath="mul")
    report = estimate(unit.write(tmp_path), unit.name, memories=tmp_path.glob("*.mem"))
    assert report.total.dsp == 2
