"""What the exporters write of calls whose sizes they do not know is what torch computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import export_qonnx, import_qonnx
from qfx_plugin import verify_agreement
from tests.convert.helpers import converted


class Calls(nn.Module):
    def __init__(self, *calls) -> None:
        super().__init__()
        self.calls, self.fc = calls, nn.Linear(3, 3)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.fc(x)
        flat = x.unsqueeze(-1).squeeze(-1).mean(-1, keepdim=True).squeeze(-1)
        best = self.fc(flat.transpose(1, 2)).argmax(-1)
        return [best, *(self.fc(call(x).transpose(1, -1)) for call in self.calls)]


CALLS = [
    lambda x: torch.split(F.pad(x, (0, 0, 1, 1))[:, :, :7], 4, dim=2)[1],
    lambda x: F.max_pool2d(x, 2, 3, ceil_mode=True),
    lambda x: F.max_pool2d(x, 2, (3, 2), padding=1, ceil_mode=True),
    lambda x: F.max_pool2d(x, (3, 2), (2, 3), ceil_mode=True),
    lambda x: x.roll(6, 2) + torch.roll(x, -6, 2) + x[:, :, :1].roll(1, -2),
    lambda x: (1 - x) - x,
    lambda x: x - (1 - x) - x * 0.5,
    lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
]  # fmt: skip


@pytest.mark.parametrize("dynamo", [False, True])
def test_sizes_that_the_exporter_does_not_know(dynamo, torch_seed):
    x = torch.randn(6, 3, 6, 3)
    network = Calls(*CALLS)
    model = converted(network, x, example=x, bit_width=5)
    exported = export_qonnx(model, x[:1], dynamo=dynamo)
    names = ["torch", "qonnx", "onnxruntime"]
    verify_agreement(exported, x, model, executors=names).raise_if_different(required=names)
    for found, wanted in zip(import_qonnx(exported)(x), model(x), strict=True):
        assert torch.equal(found, wanted)
