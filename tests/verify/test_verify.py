"""The report on executors: what it counts, shows, refuses and prints."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.errors import DataError, OptionError, TargetError, VerificationError
from qfx_plugin.executors import EXECUTORS, Executor, Job
from qfx_plugin.ir import FixedTensor, interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import Agreement, ExecutorAgreement, compare_codes, verify
from tests import qonnx_models as models


def fake(change, name: str = "fake", obstacle: str | None = None) -> Executor:
    """An executor that returns the interpreter's logits after `change`."""

    def start(job: Job):
        def run(inputs):
            return {"logits": change(interpret(job.graph, inputs)["logits"].values.copy())}

        return run

    return Executor(name, "numpy", start, lambda job: obstacle)


def same(values):
    return values


def test_agreement_counts_every_code_of_every_tensor():
    model = models.cnn()
    result = verify(model, models.random_inputs(model, 600), executors=["qonnx", fake(same)])
    assert result.agrees
    assert result.raise_if_different() is result
    qonnx = result["qonnx"]
    assert (qonnx.samples, qonnx.differing, qonnx.first, qonnx.reason) == (600, 0, (), None)
    assert [tensor.name for tensor in qonnx.tensors] == [
        "x_q", "conv1_acc", "conv1_relu", "conv1_out", "conv1_pool", "conv2_acc", "conv2_relu",
        "conv2_out", "conv2_pool", "flat", "logits",
    ]  # fmt: skip
    assert qonnx.codes == 600 * (64 + 4 * 64 * 3 + 4 * 16 + 6 * 16 * 3 + 6 * 4 * 2 + 10)
    assert result["fake"].codes == 6000
    assert qonnx.version.startswith("qonnx 1.")
    with pytest.raises(KeyError):
        result["unknown"]


def one_code_off(values):
    if len(values) > 40:
        values[37, 4] += 2.0**-13
    return values


def test_one_wrong_code_is_found_and_shown():
    model = models.mlp()
    x = models.random_inputs(model, 100)
    result = verify(model, x, executors=[fake(one_code_off)])
    expected = int(interpret(load_qonnx(model), x)["logits"].codes[37, 4])
    (difference,) = result["fake"].first
    assert not result.agrees
    assert (result["fake"].codes, result["fake"].differing) == (1000, 1)
    assert (difference.tensor, difference.sample, difference.position) == ("logits", 37, (4,))
    assert (difference.expected, difference.got) == (expected, expected + 0.5)
    text = (
        "qfx_test: fake differs from the interpreter in 1 of 1000 codes; first: sample 37, "
        f"logits[4]: expected code {expected}, got {expected + 0.5}"
    )
    with pytest.raises(VerificationError, match=f"^{re.escape(text)}$"):
        result.raise_if_different()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0**-40, -1e30])
def test_values_that_are_no_codes_differ_and_are_not_rounded(bad):
    model = models.mlp()

    def spoil(values):
        values[0, 0] = bad if not 0 < bad < 1 else values[0, 0] + bad
        return values

    result = verify(model, models.random_inputs(model, 4), executors=[fake(spoil)])
    assert result["fake"].differing == 1


def test_differences_show_their_place_across_chunks():
    model = models.mlp()
    result = verify(model, models.random_inputs(model, 1100), executors=[fake(lambda v: v + 1)])
    assert result["fake"].differing == 11_000
    assert len(result["fake"].first) == 5
    late = verify(model, models.random_inputs(model, 1100), executors=[fake(_late)])
    assert [difference.sample for difference in late["fake"].first] == [1024]


def _late(values):
    if len(values) == 1100 - 1024:
        values[0, 0] += 1
    return values


def test_limits_cut_the_samples_of_an_executor():
    model = models.mlp()
    result = verify(
        model,
        models.random_inputs(model, 700),
        executors=["qonnx", fake(same)],
        limits={"fake": 600},
    )
    assert (result["qonnx"].samples, result["fake"].samples) == (700, 600)
    assert result["fake"].codes == 6000


def test_sums_beyond_float64_are_said_to_be_out_of_range():
    model = models.mlp(bit_width=26)
    result = verify(model, models.random_inputs(model, 10), executors=["qonnx"])
    reason = "out of float64 range: a sum may need 55 bits, float64 is exact to 53"
    assert result["qonnx"].reason == reason
    assert not result["qonnx"].ran
    assert not result.agrees
    with pytest.raises(VerificationError, match=f"^qfx_test: qonnx was not run: {reason}$"):
        result.raise_if_different(required=["qonnx"])
    with pytest.raises(VerificationError, match="no executor was run, nothing was compared$"):
        result.raise_if_different()


def test_an_error_of_the_target_is_a_reason():
    def start(job: Job):
        raise TargetError("Conv 'c': too deep for this target")

    model = models.mlp()
    broken = Executor("broken", "numpy", start, lambda job: None)
    result = verify(model, models.random_inputs(model, 4), executors=["qonnx", broken])
    assert result["broken"].reason == "Conv 'c': too deep for this target"
    assert result["qonnx"].differing == 0


def returning(*chunks, name: str = "fake") -> Executor:
    """An executor that gives one thing after the other: arrays, nothing, or an exception."""

    def start(job: Job):
        left = iter(chunks)

        def run(inputs):
            found = next(left)
            if isinstance(found, BaseException):
                raise found
            exact = interpret(job.graph, inputs)["logits"].values
            return {"logits": exact} if found == "right" else found(exact) if found else found

        return run

    return Executor(name, "numpy", start, lambda job: None)


NOTHING = "it returned nothing of 'logits'"


@pytest.mark.parametrize(
    ("executor", "limit", "reason"),
    [
        (returning({}, {}), None, NOTHING),
        (returning(None, None), None, NOTHING),
        (returning("right", {}), None, NOTHING),
        (returning("right", TargetError("too far")), None,
         "stopped after 512 samples: too far"),
        (returning(TargetError("no")), None, "no"),
        (returning("right", "right"), 0, "its limit is 0 samples"),
        (returning("right", "right"), -3, "its limit is -3 samples"),
    ],
)  # fmt: skip
def test_nothing_compared_is_never_agreement(executor, limit, reason):
    model = models.mlp()
    limits = {} if limit is None else {"fake": limit}
    result = verify(
        model, models.random_inputs(model, 600), executors=[executor, "qonnx"], limits=limits
    )
    entry = result["fake"]
    assert not entry.ran and entry.reason == entry.why == reason
    assert result.agrees  # qonnx was compared
    alone = replace(result, executors=(entry,))
    assert not alone.agrees
    with pytest.raises(VerificationError, match=re.escape(f"fake was not run: {reason}")):
        result.raise_if_different(required=["fake"])
    with pytest.raises(VerificationError):
        alone.raise_if_different()
    word = "" if entry.codes else "not run: "
    assert f"{word}{reason}" in str(result)


def test_an_executor_without_codes_did_not_run():
    assert not ExecutorAgreement("fake", "1", samples=3).ran
    assert ExecutorAgreement("fake", "1", samples=3).why == "it returned nothing to compare"
    empty = Agreement("net", 3, 0.0, (ExecutorAgreement("fake", "1", samples=3),))
    assert not empty.agrees and "not run: it returned nothing to compare" in str(empty)
    assert not Agreement("net", 3, 0.0, ()).agrees


@pytest.mark.parametrize("end", [TargetError("cut"), {}, None])
def test_what_differed_stays_a_difference(end):
    model = models.mlp()
    wrong = returning(lambda exact: {"logits": exact + 1}, end)
    result = verify(model, models.random_inputs(model, 600), executors=[wrong, "qonnx"])
    assert result["fake"].differing == 5120 and not result.agrees
    with pytest.raises(VerificationError, match="fake differs from the interpreter in 5120 of"):
        result.raise_if_different()
    assert "fake: logits is the first tensor that differs" in str(result)


class Panic(BaseException):
    """As native code raises it."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("\n  first\nsecond"), "ValueError: first"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (MemoryError(), "MemoryError"),
        (RecursionError("deep"), "RecursionError: deep"),
        (SystemExit(3), "SystemExit: 3"),
        (Panic("lost"), "Panic: lost"),
        (UserWarning("w" * 999), f"UserWarning: {'w' * 287}"),
        (DataError(""), "DataError"),
    ],
)
@pytest.mark.parametrize("place", ["obstacle", "start", "run"])
def test_whatever_an_executor_raises_is_a_reason(place, error, reason):
    def fail(*_):
        raise error

    model = models.mlp()
    starts = {"run": lambda job: fail}
    broken = Executor(
        "broken", "numpy", starts.get(place, fail),
        fail if place == "obstacle" else lambda job: None,
    )  # fmt: skip
    result = verify(model, models.random_inputs(model, 4), executors=[broken, fake(same)])
    assert (result["broken"].reason, result["broken"].ran) == (reason, False)
    assert result["fake"].codes == 40 and result.agrees


def test_an_interrupt_goes_through():
    model = models.mlp()
    with pytest.raises(KeyboardInterrupt):
        verify(model, models.random_inputs(model, 4), executors=[returning(KeyboardInterrupt())])


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ({"nonsense": np.zeros((4, 10))}, "'nonsense', which is no tensor of the network"),
        ({"x": np.zeros((4, 16))}, "'x', which is no tensor of the network"),
        ({"logits": None}, "no numbers for 'logits', but object"),
        ({"logits": np.zeros((4, 10), complex)}, "no numbers for 'logits', but complex128"),
        ({"logits": np.float32(1)}, "shape () of 'logits' for 4 samples"),
    ],
)
def test_results_that_are_none(returned, text):
    model = models.mlp()
    executor = returning(lambda exact: returned)
    with pytest.raises(DataError, match=f"^executor fake returned {re.escape(text)}$"):
        verify(model, models.random_inputs(model, 4), executors=[executor])


def test_every_part_of_a_chunk_is_compared(monkeypatch):
    """The interpreter runs in smaller pieces than the executors."""
    monkeypatch.setattr("qfx_plugin.verify.chunk_size", lambda graph: 100)
    model = models.mlp()
    x = models.random_inputs(model, 700)

    def spoil(exact):
        exact[[0, 99, 100, 250, 511]] += 1
        return {"logits": exact}

    result = verify(model, x, executors=[returning(spoil, "right"), "qonnx"], limits={"qonnx": 650})
    assert [tensor.codes for tensor in result["fake"].tensors] == [7000]
    assert [d.sample for d in result["fake"].first] == [0] * 5
    assert result["fake"].tensors[0].differing_samples == 5
    assert (result["qonnx"].samples, result["qonnx"].codes) == (650, 650 * 122)
    assert result["qonnx"].ran and result["qonnx"].differing == 0


def test_executors_cannot_change_each_others_inputs():
    model = models.mlp()
    x = models.random_inputs(model, 30)

    def start(job: Job):
        def run(inputs):
            inputs["x"] *= 0
            return {"logits": interpret(job.graph, inputs)["logits"].values}

        return run

    cheat = Executor("cheat", "numpy", start, lambda job: None)
    result = verify(model, x, executors=[cheat, "qonnx"])
    assert result["cheat"].differing and not result["qonnx"].differing
    np.testing.assert_array_equal(x, models.random_inputs(model, 30))


@pytest.mark.parametrize(
    ("limits", "text"),
    [({"qonx": 3}, "limits must be of qonnx, torch, onnxruntime, hls4ml, finn, rtl, not 'qonx'"),
     ({"qonnx": 2.5}, "limits of qonnx must be a number of samples, not 2.5"),
     ({"qonnx": True}, "limits of qonnx must be a number of samples, not True")],
)  # fmt: skip
def test_limits_that_are_none(limits, text):
    model = models.mlp()
    with pytest.raises(OptionError, match=f"^{re.escape(text)}$"):
        verify(model, models.random_inputs(model, 4), executors=["qonnx"], limits=limits)


def test_required_executors_must_exist():
    model = models.mlp()
    result = verify(model, models.random_inputs(model, 4), executors=["qonnx"])
    text = "required must be executors compared (qonnx), not 'qonx'"
    with pytest.raises(OptionError, match=f"^{re.escape(text)}$"):
        result.raise_if_different(required=["qonx"])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((3, 4)), "input 'x' must have shape (samples, 16), not (3, 4)"),
        (np.zeros(16), "input 'x' must have shape (samples, 16), not (16,)"),
        (np.array("x"), "input 'x' must hold numbers, not <U1"),
        (np.full((1, 16), np.nan), "input 'x' must be finite in float32: 16 values are not, the "
         "first is nan at (0, 0)"),
        (np.full((1, 16), 1e39), "input 'x' must be finite in float32: 16 values are not, the "
         "first is 1e+39 at (0, 0)"),
        (np.full((1, 16), 2**24 + 1), "input 'x' must be integers of at most 24 bits, or floats: "
         "16 values are not, the first is 16777217 at (0, 0)"),
        ([[1, 2], [3]], "inputs must be arrays of numbers: setting an array element with a "
         "sequence. The requested array has an inhomogeneous shape after 1 dimensions. The "
         "detected shape was (2,) + inhomogeneous part."),
        ({"y": np.zeros((3, 16))}, "inputs must be exactly x, not y"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(x, text):
    with pytest.raises(DataError) as error:
        verify(models.mlp(), x, executors=["qonnx"])
    assert str(error.value) == text


@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "?", "f2", "f8"])
def test_numbers_of_every_kind(dtype):
    model = models.mlp()
    x = (models.random_inputs(model, 20) * 8).astype(dtype)
    result = verify(model, x, executors=["qonnx", fake(same)])
    result.raise_if_different(required=["qonnx", "fake"])


def test_the_report_prints_as_a_table():
    model = models.mlp()
    executors = ["torch", replace(EXECUTORS["qonnx"]), fake(one_code_off)]
    lines = str(verify(model, models.random_inputs(model, 100), executors=executors)).splitlines()
    assert lines[0].startswith("qfx_test: interpreter, 100 samples, ")
    assert lines[1].split() == [
        "executor", "version", "samples", "tensors", "codes", "differing", "seconds",
    ]  # fmt: skip
    assert lines[2].endswith("not run: no torch model was given")
    assert lines[3].split()[:-1] == ["qonnx", "qonnx", "1.0.0", "100", "5", "12,200", "0"]
    assert lines[4].split()[3:7] == ["100", "1", "1,000", "1"]
    assert lines[5] == (
        "  fake: logits is the first tensor that differs, in 1 of 1,000 codes, on 1 of 100 samples"
    )
    assert lines[6].startswith("  fake: sample 37, logits[4]: expected code ")
    assert lines[-1] == "1 of 13,200 integer codes differ (qonnx 0 of 12,200, fake 1 of 1,000)."


def test_unknown_executors_and_empty_inputs_are_refused():
    model = models.mlp()
    text = f"executor must be one of {', '.join(EXECUTORS)}, not 'tourch' (did you mean torch?)"
    with pytest.raises(OptionError, match=f"^{re.escape(text)}$"):
        verify(model, models.random_inputs(model, 1), executors=["tourch"])
    with pytest.raises(DataError, match="^inputs must hold at least one sample$"):
        verify(model, np.zeros((0, 16)))


def test_a_wrong_output_shape_is_an_error_not_a_difference():
    model = models.mlp()
    text = "executor returned shape (3, 9) where the interpreter has (3, 10)"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        verify(model, models.random_inputs(model, 3), executors=[fake(lambda v: v[:, 1:])])


def test_missing_samples_are_an_error_not_agreement():
    model = models.mlp()
    text = "executor fake returned shape (2, 10) of 'logits' for 3 samples"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        verify(model, models.random_inputs(model, 3), executors=[fake(lambda v: v[:2])])


@pytest.mark.parametrize("frac_bits", [0, 7, -7, 900, -900, 1074])
def test_codes_are_compared_exactly(frac_bits):
    """Also codes that float64 rounds, and LSBs whose inverse is no float64."""
    codes = np.array([[0, 1, -3, 2**24, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -12, 2**53]])
    got = np.ldexp(codes.astype(np.float64), -frac_bits)
    got[0, -2:] *= 1.25
    exact = [Fraction(value) * Fraction(2) ** frac_bits for value in got[0]]
    expected = [value != int(code) for value, code in zip(exact, codes[0], strict=True)]
    assert expected == [False] * 5 + [True] * 5
    wrong, _ = compare_codes(FixedTensor(codes, np.array(frac_bits)), got)
    assert wrong[0].tolist() == expected


def torch_twin(model: onnx.ModelProto):
    """The MLP of a file as plain torch arithmetic on the same values."""
    import torch

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            graph = load_qonnx(model)
            self.casts = [graph.producer(name) for name in ("x_q", "fc1_out")]
            for index, name in enumerate(("fc1_acc", "logits")):
                for part in ("weight", "bias"):
                    held = getattr(graph.producer(name), part)
                    values = np.ldexp(held.codes.astype(float), -int(held.frac_bits[0]))
                    self.register_buffer(f"{part}{index}", torch.tensor(values).float())

        def cast(self, x, op):
            low, high = op.formats[0].min_code, op.formats[0].max_code
            return torch.round(x * 2**op.frac_bits).clamp(low, high) / 2**op.frac_bits

        def forward(self, x):
            x = self.cast(x, self.casts[0]) @ self.weight0.T + self.bias0
            return self.cast(x.relu(), self.casts[1]) @ self.weight1.T + self.bias1

    return Twin()


@pytest.mark.parametrize("bit_width", [8, 16])
def test_torch_runs_in_float64_where_it_must(bit_width):
    model = models.mlp(bit_width=bit_width)
    twin = torch_twin(model).train()
    result = verify(model, models.random_inputs(model, 300), twin, executors=["torch"])
    assert result.raise_if_different()["torch"].codes == 3000
    assert twin.training
    assert twin.weight0.dtype.is_floating_point and twin.weight0.element_size() == 4


def test_float32_would_have_been_wrong_there():
    import torch

    model = models.mlp(bit_width=16)
    x = models.random_inputs(model, 300)
    expected = interpret(load_qonnx(model), x)["logits"].values
    with torch.no_grad():
        assert (torch_twin(model)(torch.tensor(x)).double().numpy() != expected).any()


def test_a_model_file_is_not_changed(tmp_path: Path):
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp(), str(path))
    before = path.read_bytes()
    verify(path, models.random_inputs(models.mlp(), 3), executors=["qonnx"])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = (
        "import sys, qfx_plugin; assert 'Graph' in dir(qfx_plugin); "
        "heavy = {'torch', 'onnx', 'numpy', 'hls4ml'} & set(sys.modules); assert not heavy, heavy; "
        "qfx_plugin.load_qonnx; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
