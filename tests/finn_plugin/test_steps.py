"""Our steps inside FINN's builder: named verification points, all-RTL, estimates without Vivado."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import ModelFileError, OptionError, VerificationError
from qfx_plugin.finn_plugin import adapter, build_steps, steps
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests.finn_plugin.helpers import op_types, run_steps
from tests.finn_plugin.networks import resnet8
from tests.qonnx_models import cnn, mlp, residual

POINTS = ("converted", "hw", "specialized", "folded")


def reports(cfg) -> dict[str, dict]:
    folder = Path(cfg.output_dir) / "verification_output"
    return {p: json.loads((folder / f"qfx_{p}.json").read_text()) for p in POINTS}


@pytest.mark.parametrize("make", [mlp, cnn, residual], ids=lambda make: make.__name__)
def test_all_points_agree_and_all_units_are_rtl(make, tmp_path):
    model, cfg = run_steps(make(), tmp_path, target_fps=10_000)
    assert all(report["differing_codes"] == {"logits": 0} for report in reports(cfg).values())
    assert all(name.endswith("_rtl") for name in op_types(model))
    estimate = Path(cfg.output_dir) / "report" / "estimate_layer_cycles.json"
    assert max(json.loads(estimate.read_text()).values()) <= 200e6 / 10_000


def test_resnet8_to_the_estimates(tmp_path):
    model, cfg = run_steps(resnet8(bit_width=4), tmp_path, target_fps=500)
    assert set(reports(cfg)) == set(POINTS)
    assert op_types(model).count("QFXAdd_rtl") == 3
    assert all(name.endswith("_rtl") for name in op_types(model))


@pytest.mark.slow
def test_the_stitched_design_is_a_step(tmp_path):
    chosen = [*build_steps(estimate_only=True, verify=False), steps.step_qfx_stitch]
    model, cfg = run_steps(mlp((16, 8, 4), k=2), tmp_path, chosen, target_fps=2_000_000)
    report = json.loads((Path(cfg.output_dir) / "report" / "qfx_stitched.json").read_text())
    assert report["differing_codes"] == {"logits": 0}
    assert abs(report["interval_cycles"] / report["estimated_cycles"] - 1) <= 0.05
    assert op_types(model).count("StreamingFIFO_rtl") == len(report["fifo_depths"]) > 3


def test_dotted_names_are_steps_too(tmp_path):
    names = ["step_qfx_convert", "step_qfx_verify_converted", "step_qfx_convert_to_hw"]
    dotted = [f"qfx_plugin.finn_plugin.{name}" for name in names]
    model, _ = run_steps(mlp(), tmp_path, dotted)
    assert op_types(model) == ["QFXMVU", "QFXRequant", "QFXMVU"]


def test_the_user_s_samples_are_used(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.normal(size=(7, 16)))
    options = {"verify_input_npy": str(tmp_path / "x.npy")}
    chosen = [steps.step_qfx_convert, steps.step_qfx_verify_converted]
    _, cfg = run_steps(mlp(), tmp_path, chosen, **options)
    report = Path(cfg.output_dir) / "verification_output" / "qfx_converted.json"
    assert json.loads(report.read_text())["samples"] == 7


def test_a_verification_point_stops_at_a_wrong_bit(tmp_path):
    def step_break(model, cfg):
        name = "logits:sums:weight"
        model.set_initializer(name, model.get_initializer(name) - 1)
        return model

    chosen = [steps.step_qfx_convert, step_break, steps.step_qfx_verify_converted]
    with pytest.raises(VerificationError, match="FINN model at 'converted' differs .* logits"):
        run_steps(mlp(), tmp_path, chosen)


def test_a_verification_point_needs_our_conversion(tmp_path):
    with pytest.raises(ModelFileError, match="step_qfx_convert must run first"):
        run_steps(mlp(), tmp_path, [steps.step_qfx_verify_hw])


def floats(folder: Path, model, rng) -> dict[str, str]:
    """A user's samples and expected values, as FINN's configuration takes them."""
    x = rng.normal(size=(3, 16))
    np.save(folder / "x.npy", x)
    (values,) = (tensor.values for tensor in interpret(load_qonnx(model), {"x": x}).values())
    np.save(folder / "y.npy", values)
    return {
        "verify_input_npy": str(folder / "x.npy"),
        "verify_expected_output_npy": str(folder / "y.npy"),
    }


def test_finn_s_own_cppsim_point_gets_codes(tmp_path, rng):
    steps_of = adapter.module("finn.builder.build_dataflow_config").VerificationStepType
    model = mlp()
    options = floats(tmp_path, model, rng) | {"verify_steps": [steps_of.FOLDED_HLS_CPPSIM]}
    (tmp_path / "build" / "intermediate_models").mkdir(parents=True)
    _, cfg = run_steps(model, tmp_path, target_fps=10_000, **options)
    folder = Path(cfg.output_dir) / "verification_output"
    results = sorted(path.name for path in folder.glob("verify_folded_hls_cppsim_*"))
    assert len(results) == 3 and all("SUCCESS" in name for name in results)
    assert reports(cfg)["folded"] == {
        "point": "folded",
        "samples": 3,
        "differing_codes": {"logits": 0},
    }


def test_wrong_expected_values_are_refused(tmp_path, rng):
    model = mlp()
    options = floats(tmp_path, model, rng) | {"verify_steps": ["folded_hls_cppsim"]}
    np.save(tmp_path / "y.npy", np.load(tmp_path / "y.npy") + 1)
    with pytest.raises(VerificationError, match="differs from the integer interpreter in 30 of"):
        run_steps(model, tmp_path, **options)


def test_a_point_that_no_step_runs_is_refused(tmp_path, rng):
    options = floats(tmp_path, mlp(), rng) | {"verify_steps": ["streamlined_python"]}
    with pytest.raises(OptionError, match="'streamlined_python' is run by step_streamline, which"):
        run_steps(mlp(), tmp_path, **options)


def test_names_and_options():
    named = [getattr(step, "__name__", step) for step in build_steps()]
    assert named[0] == "step_qfx_convert"
    assert named[-1] == "step_deployment_package"
    assert len(set(named)) == len(named)
    known = adapter.module("finn.builder.build_dataflow_steps").build_dataflow_step_lookup
    assert all(name in known or name.startswith("step_qfx_") for name in named)
    short = [getattr(step, "__name__", step) for step in build_steps(estimate_only=True)]
    assert "step_create_stitched_ip" not in short
    assert not any(
        "verify" in getattr(step, "__name__", step) for step in build_steps(verify=False)
    )
