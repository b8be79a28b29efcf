"""Whole networks through pickle: the same codes, files and training as before."""

import io
import pickle

import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    calibrate,
    export_qonnx,
    import_qonnx,
    quantize,
)
from brevitas_quantizers.fixed_point import OptionError


class Branches(nn.Module):
    """Layers with state, functions by name, constants and an argument that is no input."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.slope, self.head = nn.PReLU(3), nn.Linear(216, 4)
        self.register_buffer("shift", torch.tensor([[0.5], [0.25], [-1.0]])[:, :, None])

    def forward(self, x, scale: float = 0.5):
        x = self.slope(self.norm(self.conv(x))) + self.shift
        x = torch.cat([x, torch.sigmoid(x) * scale], dim=1)
        return self.head(x.reshape(x.size(0), -1)), x.amax(dim=(2, 3))


def saved_and_loaded(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_whole_network_is_saved_and_loaded(tmp_path, torch_seed):
    x = torch.randn(4, 1, 8, 8)
    model = calibrate(quantize(Branches()), [x]).eval()
    twin = saved_and_loaded(model)
    assert all(map(torch.equal, twin(x), model(x)))
    assert [*twin.state_dict()] == [*model.state_dict()]
    with pytest.raises(Exception, match="scale must be 0.5"):
        twin(x, 0.25)
    for name, network in (("model", model), ("twin", twin)):
        export_qonnx(network, x[:1], tmp_path / f"{name}.onnx")
    assert (tmp_path / "twin.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
    imported = import_qonnx(tmp_path / "model.onnx").eval()
    assert all(map(torch.equal, pickle.loads(pickle.dumps(imported))(x), model(x)))
    twin.train()(x)[0].sum().backward()
    assert all(p.grad is not None for p in twin.head.parameters())


def test_a_network_with_a_budget_is_saved_without_it(torch_seed):
    x = torch.randn(8, 6)
    model = quantize(
        nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), weight_quant=QFXDigits
    )
    budget = HardwareBudget(model.train(), lut=200, steps=10)
    budget.observe(model(x))
    budget.step()
    twin = saved_and_loaded(model)
    assert torch.equal(twin(x), model(x))
    with pytest.raises(OptionError, match=r"cannot be copied or pickled.*budget.state_dict\(\)"):
        pickle.dumps(budget)
