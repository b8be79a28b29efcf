"""Calls that are exactly others: quantized, exported and read back as those."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import export_qonnx, import_qonnx, quantize
from brevitas_quantizers.fixed_point import ConversionError
from qfx_plugin import verify_agreement
from tests.convert.helpers import converted

SIZE = 4
CALLS = {
    "addmm": lambda m, y: torch.addmm(m.shift, y[:, 0], m.matrix, beta=0.5),
    "addcmul": lambda m, y: torch.addcmul(y, y, y, value=0.5),
    "lerp": lambda m, y: torch.lerp(y, y * 0.5, 0.25),
    "diff": lambda m, y: torch.diff(y).sum(1) + y.diff(n=2, dim=1)[:, :, 1:].sum(1),
    "norm 2": lambda m, y: y.norm(dim=-1) + torch.norm(y, 2, dim=-1),
    "cross": lambda m, y: torch.linalg.cross(y[:, :, :3], y.mT[..., 1:]),
    "norm 1": lambda m, y: torch.linalg.vector_norm(y, 1, dim=1),
    "norm inf": lambda m, y: torch.linalg.norm(y, float("inf"), -1, True),
    "distances": lambda m, y: torch.cdist(y, m.points),
    "distance": lambda m, y: m.distance(y[:, 0], y[:, 1]),
    "normalize": lambda m, y: F.normalize(y, dim=-1),
    "cosine": lambda m, y: m.cosine(y[:, 0], y[:, 1]),
    "var": lambda m, y: y.var(-1),
    "std": lambda m, y: torch.std(y, dim=(1, 2), unbiased=False),
    "hand-written norm": lambda m, y: (y - y.mean(-1, True)) / (y.var(-1, keepdim=True) + 1).sqrt(),
    "quotient": lambda m, y: y / (y.square().sum(-1, keepdim=True) + 1),
    "columns": lambda m, y: torch.column_stack((y, y)),
    "fliplr": lambda m, y: torch.fliplr(y),
    "tensor_split": lambda m, y: y.tensor_split(3, -1)[0] - torch.tensor_split(y, (1, 3), 2)[1],
    "gather": lambda m, y: torch.gather(y[:, 0], 1, m.places.expand(y.size(0), -1)),
    "take_along_dim": lambda m, y: torch.take_along_dim(y, m.places[:, None], 2),
    "by buffers": lambda m, y: y[:, m.pairs[0], m.pairs[1]],
    "by mask": lambda m, y: y[:, :, m.mask],
    "by mask of two": lambda m, y: y[:, m.upper],
    "by table": lambda m, y: y[:, :, m.pairs],
    "unfold": lambda m, y: F.unfold(y[:, None], 2, padding=1, stride=2),
    "fold": lambda m, y: m.fold(m.unfold(y[:, None])),
    "triu": lambda m, y: torch.triu(y, 1) + y.tril(),
    "cumsum": lambda m, y: torch.cumsum(y, 1),
    "sum of one": lambda m, y: torch.einsum("bij->bj", y),
    "outer": lambda m, y: torch.einsum("bi,bj->bij", y[:, 0], y[:, 1]),
    "rows of the batch": lambda m, y: y + m.rows(torch.arange(SIZE).expand(y.size(0), -1)),
    "state": lambda m, y: y[:, 0] + m.first(torch.zeros(y.size(0), SIZE)),
    "eye": lambda m, y: y + torch.eye(y.size(1)),
}


class Compositions(nn.Module):
    """A linear layer, and all calls on its results."""

    def __init__(self):
        super().__init__()
        self.body, self.first = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.rows = nn.Embedding(SIZE, SIZE)
        self.shift, self.matrix = (nn.Parameter(torch.randn(n, SIZE)) for n in (1, SIZE))
        self.distance, self.cosine = nn.PairwiseDistance(), nn.CosineSimilarity()
        self.unfold = nn.Unfold(2, stride=2)
        self.fold = nn.Fold((SIZE, SIZE), 2, stride=2)
        self.register_buffer("points", torch.randn(3, SIZE))
        self.register_buffer("places", torch.tensor([[2, 0, 3]]))
        self.register_buffer("pairs", torch.triu_indices(SIZE, SIZE, 1))
        self.register_buffer("upper", torch.ones(SIZE, SIZE).triu().bool())
        self.register_buffer("mask", torch.tensor([True, False, True, True]))

    def forward(self, x):
        y = self.body(x)
        return [call(self, y) for call in CALLS.values()]


@torch.no_grad()
def test_compositions_are_exact_everywhere(torch_seed):
    x = torch.randn(32, SIZE, SIZE)
    network = Compositions()
    model = converted(network, x, example=x[:2], act_bit_width=12, weight_bit_width=12)
    for name, found, wanted in zip(CALLS, model(x), network(x), strict=True):
        assert found.shape == wanted.shape, name
        error = (found - wanted).abs().max() / wanted.abs().max()
        assert float(error) < 0.05, f"{name}: {error}"
    exported = export_qonnx(model, x[:1])
    agreement = verify_agreement(
        exported, x[:4].numpy(), torch_model=model, executors=["torch", "qonnx"]
    )
    agreement.raise_if_different(required=["torch", "qonnx"])
    twin = import_qonnx(exported).eval()
    for found, wanted in zip(twin(x), model(x), strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


class Rows(nn.Module):
    """A table that is indexed, and the same as ones and zeros."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Parameter(torch.randn(5, 3)), nn.Linear(5, 3)

    def forward(self, ids):
        return self.table[ids].sum(1) + self.head(F.one_hot(ids[:, 0], 5).float())


def test_a_parameter_indexed_by_an_input_is_an_embedding(torch_seed):
    ids = torch.randint(0, 5, (8, 4))
    network = Rows()
    model = converted(network, ids)
    torch.testing.assert_close(model(ids), network(ids), atol=0.1, rtol=0)
    export_qonnx(model, ids[:1])


def test_sizes_that_nobody_told_are_asked_for(torch_seed):
    for call in (torch.arange, torch.zeros, torch.eye):
        network = Given(lambda x, call=call: x + call(x.size(1)))
        with pytest.raises(
            ConversionError, match=r"its sizes must be numbers: quantize\(\.\.\., ex"
        ):
            quantize(network)
    folds = Given(lambda x: x, nn.Sequential(nn.Fold((3, 3), 2)))
    with pytest.raises(ConversionError, match="Fold has no fixed-point form; .* side by side"):
        quantize(folds)


class Given(nn.Module):
    """A function behind a layer, and perhaps another behind it."""

    def __init__(self, function, last=None):
        super().__init__()
        self.layer, self.function, self.last = nn.Linear(4, 4), function, last

    def forward(self, x):
        y = self.function(self.layer(x))
        return y if self.last is None else self.last(y)
