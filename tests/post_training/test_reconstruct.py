"""Reconstruction without labels: far better than calibration, exact in files, resumable."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_quantizers import QFXKHot, calibrate, export_qonnx, quantize, reconstruct
from brevitas_quantizers.fixed_point import CalibrationError, OptionError
from brevitas_quantizers.post_training.pieces import cut
from qfx_plugin import verify_agreement
from qfx_plugin.demo.data import load_dataset
from tests.networks import MobileNet, ResNet20

THREE = {
    "bit_width": 3, "input_bit_width": 5, "bias_bit_width": 8, "fold_batchnorm": True,
    "weight_scaling_per_output_channel": True,
}  # fmt: skip


class Residual(nn.Module):
    """A stem, a block with a shortcut, a pool, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.one = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.two = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = F.relu(x + self.two(F.relu(self.one(x))))
        return self.last(F.max_pool2d(x, 2).flatten(1))


@cache
def trained() -> nn.Module:
    """A float network of the digits."""
    data, generator = load_dataset("digits"), torch.Generator().manual_seed(0)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Residual()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        batch = torch.randint(0, len(x), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model.eval()


def images(count: int = 256) -> list[Tensor]:
    return list(torch.from_numpy(load_dataset("digits").x_train[:count]).split(64))


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    data = load_dataset("digits")
    right = model.eval()(torch.from_numpy(data.x_test)).argmax(1).numpy() == data.y_test
    return 100 * float(right.mean())


def calibrated(**options: Any) -> Any:
    return calibrate(quantize(trained(), **THREE | options), images())


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_three_bits_without_labels(mode: Any, torch_seed: int) -> None:
    model, x = calibrated(), images()[0]
    plain, far = accuracy(model), error(model, x)
    assert reconstruct(model, trained(), images(), 100, mode) is model
    found, best = accuracy(model), accuracy(trained())
    assert best > 92
    assert found > plain + 0.3 * (best - plain)
    assert error(model, x) < 0.6 * far
    file = export_qonnx(model, x[:1])
    result = verify_agreement(file, x[:4].numpy(), torch_model=model, executors=["torch"])
    assert result


def test_other_codes_and_roundings(torch_seed: int) -> None:
    x = images(128)
    for options in ({"quant": QFXKHot, "weight_bit_width": 4}, {"fold_batchnorm": False}):
        model = calibrated(**options)
        before = error(model, x[0])
        reconstruct(model, trained(), x, 20)
        assert error(model, x[0]) < before


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({"weight_bit_width": 2}, "sequential"),
        ({"quant": QFXKHot, "weight_bit_width": 4, "weight_block_size": 4}, "joint"),
    ],
)
def test_rounding_is_learned(options: dict[str, Any], mode: Any, torch_seed: int) -> None:
    """Weights end on codes that any rounding leaves alone; binary points and codes are legal."""
    x, done = images(128), []
    model = calibrated(**options)
    before = error(model, x[0])
    note = lambda step, *_: done.append(step)  # noqa: E731
    reconstruct(model, trained(), x, 20, mode, rounding_steps=40, progress=note)
    assert error(model, x[0]) < 0.95 * before
    assert done == list(range(1, 60 * (3 if mode == "sequential" else 1) + 1))
    for layer in (model.get_submodule("one.0"), model.get_submodule("last")):
        assert torch.equal(layer.quant_weight().value, layer.weight)
        assert "forward" not in vars(layer.weight_quant.quantizer)
    file = export_qonnx(model, x[0][:1])
    assert verify_agreement(file, x[0][:4].numpy(), torch_model=model, executors=["torch"])


@torch.no_grad()
def error(model: nn.Module, x: Tensor) -> float:
    return float((model(x) - trained()(x)).square().mean())


@pytest.mark.parametrize(
    ("mode", "halt_at", "goes_on_at"), [("sequential", 13, 11), ("joint", 7, 7)]
)
def test_it_goes_on_where_it_stopped(
    mode: Any, halt_at: int, goes_on_at: int, tmp_path: Path, torch_seed: int
) -> None:
    """In the same place, with the same result."""
    x, file, steps = images(64), tmp_path / "state.pt", []
    whole, halted, again = calibrated(), calibrated(), calibrated()
    reconstruct(whole, trained(), x, 10, mode)

    def halt(done: int, *_: Any) -> None:
        if done == halt_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct(halted, trained(), x, 10, mode, checkpoint=file, progress=halt)
    note = lambda done, *_: steps.append(done)  # noqa: E731
    reconstruct(again, trained(), x, 10, mode, checkpoint=file, progress=note)
    assert steps[0] == goes_on_at
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(OptionError, match="was made with steps=10, not 11; give another file"):
        reconstruct(calibrated(), trained(), x, 11, mode, checkpoint=file)


def names(model: nn.Module, modules: list[str] | None = None) -> list[str]:
    return [piece.name for piece in cut(quantize(model.eval(), fold_batchnorm=True), modules)]


def test_where_networks_are_cut() -> None:
    small = ResNet20(width=4, blocks=1)
    assert names(small) == ["layer1.0.relu_1", "layer2.0.relu_1", "avg_pool2d_quant", "linear"]
    assert names(small, ["layer1", "layer3.0"]) == ["layer1.0.relu_1", "layer3.0.relu_1", "linear"]
    assert len(names(MobileNet(width=4))) == 2
    assert len(names(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))) == 1


def test_pieces_in_a_row_are_the_network(torch_seed: int) -> None:
    model, x = calibrated().eval(), images(64)[0]
    values: Any = x
    for piece in cut(model):
        values = piece.module(values)
    assert torch.equal(values, model(x))


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "mode": (lambda: reconstruct(calibrated(), trained(), images(64), mode="fast"), OptionError,
             "reconstruct: mode must be 'sequential' or 'joint', not 'fast'"),
    "steps": (lambda: reconstruct(calibrated(), trained(), images(64), 0), OptionError,
              "reconstruct: steps must be at least 1, not 0"),
    "rounding": (lambda: reconstruct(calibrated(), trained(), images(64), rounding_steps=-1),
                 OptionError, "reconstruct: rounding_steps must be at least 0, not -1"),
    "loader": (lambda: reconstruct(calibrated(), trained(), []), CalibrationError,
               "reconstruct: the loader must yield at least one batch, not 0"),
    "model": (lambda: reconstruct(trained(), trained(), images(64)), OptionError,
              "reconstruct: model must come from quantize, not Residual"),
    "formats": (lambda: reconstruct(quantize(trained()), trained(), images(64)), CalibrationError,
                "run calibrate"),
    "modules": (lambda: reconstruct(calibrated(), trained(), images(64), modules=["body"]),
                OptionError, "reconstruct: modules names 'body', which is not in the network"),
    "past": (lambda: reconstruct(calibrated(), trained(), images(64), modules=["one"]),
             OptionError, "not 'one': something goes past it"),
    "float": (lambda: reconstruct(calibrated(), other(), images(64)), OptionError,
              "float_model must be the network that model was quantized from"),
}  # fmt: skip


def other() -> nn.Module:
    model = copy.deepcopy(trained())
    model.last.weight.data.neg_()
    return model


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    call, kind, text = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value) and "\n" not in str(caught.value)
