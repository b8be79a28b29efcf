"""A head that two levels of a pyramid share, with a batch norm for each, as in AQD."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import calibrate, learned_formats, quantize
from qfx_plugin import verify_agreement
from tests.networks import Detector

X = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

RECIPE = {
    "bit_width": 4,
    "input_bit_width": 8,
    "last_layer": {"bit_width": 8},
    "overrides": {nn.BatchNorm2d: {"bit_width": 8}},
    "weight_scaling_per_output_channel": True,
}


class OneResult(Detector):
    """The levels in one tensor: (batch, scores and sides, cells of both)."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores and sides of all cells."""
        levels = super().forward(x)
        return torch.cat([torch.cat(level, 1).flatten(2) for level in levels], 2)


@pytest.fixture
def quantized(torch_seed: None) -> Callable[..., nn.Module]:
    """A tiny one whose batch norms have seen data, at 4 bits."""

    def make(kind: type[Detector] = Detector, **options: object) -> nn.Module:
        model = kind((3, 4, 4, 4), classes=2).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model(X)
        return calibrate(quantize(model.eval(), example=X[:1], **RECIPE, **options), [X])

    return make


@pytest.mark.parametrize(("kind", "fold"), [(Detector, False), (OneResult, True)])
def test_a_shared_head_is_equal_everywhere(quantized, kind, fold):
    """Folding leaves the head's batch norms, whose convolution both levels call."""
    model = quantized(kind, fold_batchnorm=fold)
    parts = {name.rsplit(".", 1)[0] for name in learned_formats(model) if "head." in name}
    own = {f"head.{part}" for part in ("conv", "norms.0", "norms.1", "relu", "relu_1")}
    assert own | {"head.scores", "head.sides"} <= parts
    report = verify_agreement(model, X[:2].numpy(), executors=["torch", "qonnx", "onnxruntime"])
    report.raise_if_different()
    assert all(entry.ran and entry.codes for entry in report.executors), str(report)


def test_levels_train_their_own_batch_norm(quantized):
    """A step on one level's results moves its batch norm and activation, and the shared weights."""
    model = quantized().train()
    fine, coarse = model(X)
    (coarse[0] ** 2).mean().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert "head.norms.1.weight" in moved and "head.conv.weight" in moved
    assert "head.norms.0.weight" not in moved and "lateral_fine.weight" not in moved


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["hls4ml", "rtl"])
def test_a_shared_head_is_equal_in_hardware(quantized, executor):
    report = verify_agreement(quantized(OneResult), X[:2].numpy(), executors=[executor])
    report.raise_if_different()
    assert report.executors[0].codes == 2 * 6 * 20
