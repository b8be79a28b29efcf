"""Registers: what other distributions add by entry points, and what they cannot break."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

from qfx_plugin.cli import main
from qfx_plugin.errors import OptionError, PluginError, PluginWarning, VerificationError
from qfx_plugin.executors import EXECUTORS
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.distributions import install

OWN = ("torch", "qonnx", "onnxruntime", "hls4ml", "finn", "rtl")

MINE = """
from qfx_plugin.executors import Executor
from qfx_plugin.ir import interpret

def start(job):
    return lambda inputs: interpret(job.graph, inputs)

EXECUTOR = Executor("{name}", "{package}", start, lambda job: None)
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Install executors: `outside("mine", source, mine="mine:EXECUTOR")`."""

    def add(name: str, source: str, **points: str) -> None:
        install(tmp_path / name, name, source, {"qfx.executors": points})
        monkeypatch.syspath_prepend(str(tmp_path / name))

    return add


def mine(outside, name: str, package: str) -> None:
    source = MINE.format(name=name, package=package)
    outside(package, source, **{name: f"{package}:EXECUTOR"})


def test_an_executor_from_outside_is_one_like_ours(outside, tmp_path, capsys):
    mine(outside, "mine", "my_executors")
    assert (*OWN, "mine") == tuple(EXECUTORS) == EXECUTORS.names()
    assert EXECUTORS.origin("mine") == "my_executors 1.0" and EXECUTORS.origin("rtl") == ""
    model = models.mlp()
    result = verify(model, models.random_inputs(model, 5), executors=["mine"])
    assert (result["mine"].codes, result["mine"].differing, result.agrees) == (50, 0, True)
    assert result["mine"].version == "my_executors 1.0"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert main(["verify", str(path), "--samples", "3", "--executors", "mine"]) == 0
    assert "mine" in capsys.readouterr().out


def test_what_is_broken_does_not_break_the_others(outside):
    outside("raises", "raise ValueError('no licence\\nsecond line')", raising="raises:EXECUTOR")
    outside("leaves", "raise SystemExit(3)", leaving="leaves")
    outside("shapeless", "EXECUTOR = 3", shapeless="shapeless:EXECUTOR", absent="shapeless:NONE")
    outside("misnamed", MINE.format(name="other", package="numpy"), named="misnamed:EXECUTOR")
    mine(outside, "mine", "my_executors")
    said = {
        "raising": "executor 'raising' of raises 1.0 cannot be used: ValueError: no licence",
        "leaving": "executor 'leaving' of leaves 1.0 cannot be used: SystemExit: 3",
        "shapeless": "executor 'shapeless' of shapeless 1.0 cannot be used: must be an Executor, "
        "not int",
        "absent": "executor 'absent' of shapeless 1.0 cannot be used: AttributeError: module "
        "'shapeless' has no attribute 'NONE'",
        "named": "executor 'named' of misnamed 1.0 cannot be used: must have the name of its entry "
        "point, not 'other'",
    }
    with pytest.warns(PluginWarning) as caught:
        assert tuple(EXECUTORS) == (*OWN, "mine")
    assert sorted(str(one.message) for one in caught) == sorted(said.values())
    assert sorted(EXECUTORS.problems()) == sorted(said.values())
    for name, text in said.items():
        with pytest.raises(PluginError) as error:
            EXECUTORS.find(name)
        assert str(error.value) == text
    model = models.mlp()
    x = models.random_inputs(model, 2)
    assert verify(model, x, executors=["mine"]).agrees
    with pytest.warns(PluginWarning) as caught:  # one each, of all that are run by default
        assert verify(model, x)["mine"].ran
    texts = {str(one.message) for one in caught if one.category is PluginWarning}
    assert texts == set(said.values())
    with pytest.raises(PluginError, match="no licence"):
        verify(model, x, executors=["raising"])


def test_a_name_that_exists_already_is_left_out(outside):
    mine(outside, "qonnx", "impostor")
    mine(outside, "mine", "b_second")
    mine(outside, "mine", "a_first")
    ours = EXECUTORS["qonnx"]
    assert ours.package == "qonnx"
    texts = {
        "executor 'qonnx' of impostor 1.0 is left out: qfx-plugin has one of this name",
        "executor 'mine' of b_second 1.0 is left out: a_first 1.0 has one of this name",
    }
    assert set(EXECUTORS.problems()) == texts
    with pytest.warns(PluginWarning, match="impostor 1.0 is left out"):
        assert EXECUTORS.find("qonnx") is ours
    with pytest.warns(PluginWarning) as caught:
        assert dict(EXECUTORS)["qonnx"] is ours
    assert {str(one.message) for one in caught} == texts
    with warnings.catch_warnings():  # whom it does not concern is not told
        warnings.simplefilter("error")
        assert EXECUTORS.find("rtl").name == "rtl"


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(OptionError, match=r"not 'qonx' \(did you mean qonnx\?\)$"):
        EXECUTORS.find("qonx")
    with pytest.raises(KeyError):
        EXECUTORS["qonx"]
    assert EXECUTORS.get("qonx") is None and "qonx" not in EXECUTORS


def test_no_host_is_imported_to_list_executors():
    code = (
        "import sys; from qfx_plugin.executors import EXECUTORS; print(len(EXECUTORS.items()));"
        "sys.exit([m for m in ('torch', 'qonnx', 'onnxruntime', 'hls4ml', 'finn', 'alkaid') "
        "if m in sys.modules] or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "6\n", "")


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("points", [0, 3, -2])
def test_codes_are_compared_as_integers(outside, points, wrong):
    """Also those above 2**53, and those of other binary points, by their values."""
    from qfx_plugin.executors import Executor
    from qfx_plugin.ir import FixedTensor, interpret

    def run(job):
        def results(inputs):
            exact = interpret(job.graph, inputs)["logits"]
            codes = exact.codes * 8 if points > 0 else exact.codes
            bits = exact.frac_bits + (3 if points > 0 else points if wrong else 0)
            codes = codes.copy()
            codes[0, 0] += wrong
            return {"logits": FixedTensor(codes, bits)}

        return results

    model = models.mlp()
    executor = Executor("codes", "numpy", run, lambda job: None)
    result = verify(model, models.random_inputs(model, 600), executors=[executor])
    assert result.agrees is not bool(wrong)
    if wrong:
        with pytest.raises(VerificationError, match=r"sample 0, logits\[0\]: expected code"):
            result.raise_if_different()


def test_wide_codes_differ_in_their_last_bit():
    from qfx_plugin.ir import FixedTensor
    from qfx_plugin.ir.compare import compare_codes

    wide = FixedTensor(np.array([[1 << 60]]), np.array(40))
    assert not compare_codes(wide, FixedTensor(wide.codes, wide.frac_bits))[0].any()
    assert compare_codes(wide, FixedTensor(wide.codes + 1, wide.frac_bits))[0].all()
    assert compare_codes(wide, FixedTensor((wide.codes + 2) // 2, wide.frac_bits - 1))[0].all()
    assert not compare_codes(wide, FixedTensor(wide.codes // 2, wide.frac_bits - 1))[0].any()
