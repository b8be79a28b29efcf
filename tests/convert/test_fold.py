"""BatchNorm folded into weights: the same function, up to the rounding of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import quantize
from brevitas_quantizers.convert.fold import fold_batchnorm
from brevitas_quantizers.convert.trace import trace
from brevitas_quantizers.fixed_point import OptionError
from tests.convert.helpers import converted, prove, randomise_norms

PAIRS = {
    "conv": lambda: ((3, 6, 6), nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)),
    "conv without bias": lambda: ((3, 6, 6), nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)),
    "depthwise": lambda: ((4, 6, 6), nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)),
    "conv1d": lambda: ((3, 9), nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5)),
    "linear": lambda: ((7,), nn.Linear(7, 5), nn.BatchNorm1d(5)),
    "without affine": lambda: ((7,), nn.Linear(7, 5), nn.BatchNorm1d(5, affine=False)),
    "large eps": lambda: ((7,), nn.Linear(7, 5), nn.BatchNorm1d(5, eps=0.1)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_function_stays(name, dtype, tolerance, torch_seed):
    shape, layer, norm = PAIRS[name]()
    network = nn.Sequential(layer, norm).to(dtype).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    x = torch.randn(8, *shape, dtype=dtype)
    folded = trace(network)
    fold_batchnorm(folded)
    assert [node.op for node in folded.graph.nodes] == ["placeholder", "call_module", "output"]
    torch.testing.assert_close(folded(x), network(x), rtol=0, atol=tolerance)


class Kept(nn.Module):
    """Norms that no layer in front can take: one before a convolution, one of a shared result."""

    def __init__(self):
        super().__init__()
        self.before, self.conv, self.behind = (
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 3, 1),
            nn.BatchNorm2d(3),
        )

    def forward(self, x):
        y = self.conv(self.before(x))
        return self.behind(y) + y


def test_norms_that_cannot_be_folded_stay():
    folded = trace(Kept())
    fold_batchnorm(folded)
    assert {"before", "behind"} <= {str(node.target) for node in folded.graph.nodes}


def test_a_convolution_called_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.conv(self.norm(self.conv(x)))

    folded = trace(Twice())
    fold_batchnorm(folded)
    assert "norm" in {str(node.target) for node in folded.graph.nodes}


def test_folded_networks_are_fixed_point(torch_seed):
    network = randomise_norms(
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    )
    x = torch.randn(5, 3, 6, 6)
    model = converted(network, x, fold_batchnorm=True)
    assert "0.bias" in model.state_dict() and "1.weight" not in model.state_dict()
    prove(model, x)


@pytest.mark.parametrize(
    ("ranges", "factors", "per_channel", "folds"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), False, True),
        ((1, 0.5, 0.2, 0.1), (0.1, 0.2, 0.5, 1), False, True),
        ((1, 1, 1, 1), (1, 0.1, 0.1, 0.1), False, False),
        ((1, 1, 1, 1), (1, 0.1, 0.1, 0.1), True, True),
    ],
)
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 2, groups=2)])
def test_auto_folds_where_the_noise_is_no_larger(layer, ranges, factors, per_channel, folds):
    """The weights of each output reach as far as `ranges` says."""
    network = nn.Sequential(layer, nn.BatchNorm2d(4)).eval()
    rows = layer.weight.detach().view(2, 2, -1, layer.weight[0, 0].numel())
    rows = rows.transpose(1, 2) if isinstance(layer, nn.ConvTranspose2d) else rows
    rows.uniform_(-0.1, 0.1)[..., 0] = 0.99
    rows.mul_(torch.tensor(ranges).view(2, 2, 1, 1))
    network[1].weight.detach().copy_(torch.tensor(factors))
    options = {"weight_scaling_per_output_channel": True} if per_channel else {}
    names = dict(quantize(network, fold_batchnorm="auto", **options).named_modules())
    assert ("1" not in names) == folds


def test_auto_is_the_only_word():
    with pytest.raises(OptionError, match="^fold_batchnorm must be True, False or 'auto', not 'x'"):
        quantize(nn.Linear(2, 2), fold_batchnorm="x")
