"""`nn.Embedding`: numbers of rows in, rows of a quantized table out."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import export_qonnx, quantize
from brevitas_quantizers.fixed_point import ConversionError
from brevitas_quantizers.nn import QuantEmbedding
from qfx_plugin import load_qonnx, verify_agreement
from qfx_plugin.errors import UnsupportedModelError
from tests.convert.helpers import converted
from tests.qonnx.roundtrip_checks import assert_round_trip
from tests.qonnx_models import QonnxBuilder


class Words(nn.Module):
    """Words of two columns, with tables of 5 and 8 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(5, 3, padding_idx=0), nn.Embedding(8, 2)
        self.fc = nn.Linear(5, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(torch.cat([self.word(ids[:, 0]), self.place(ids[:, 1])], -1))


@pytest.mark.parametrize("dynamo", [False, True])
def test_numbers_behind_the_last_row_are_the_last_everywhere(dynamo, torch_seed):
    ids = torch.stack([torch.arange(16) % 5, torch.arange(16) % 8], 1)[:, :, None].repeat(1, 1, 3)
    network = Words()
    model = converted(network, ids, bit_width=6, weight_scaling_per_output_channel=True)
    assert (model(ids) - network(ids)).abs().max() < 0.2
    beyond = ids + 3 * (ids == 4) - 100 * (ids == 0)
    assert torch.equal(
        model(beyond),
        model(torch.stack([beyond[:, n].clamp(0, last) for n, last in enumerate((4, 7))], 1)),
    )
    exported = export_qonnx(model, ids[:1], dynamo=dynamo)
    names = ["torch", "qonnx", "onnxruntime", "finn"]
    report = verify_agreement(exported, beyond, model, executors=names)
    report.raise_if_different(required=names[: 4 if find_spec("finn") else 3])


def test_its_rows_train_and_come_back(torch_seed):
    ids = torch.randint(0, 5, (16, 2)).float()
    model = converted(Words(), ids)
    assert isinstance(model.word, QuantEmbedding) and model.word.padding_idx == 0
    model.train()(ids).square().sum().backward()
    assert model.word.weight.grad[1:].abs().sum() > 0 and not model.word.weight.grad[0].any()
    assert_round_trip(model, ids, dynamo=False)


class Factors(nn.Module):
    """Several tables of one size that read the same numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.factor, self.fc = nn.Embedding(6, 4), nn.Embedding(6, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.bias(ids) * self.factor(ids) + F.one_hot(ids, 6)[..., :4]
        return self.fc(x).mean(1)


def test_tables_share_their_numbers(torch_seed):
    ids = torch.randint(0, 6, (16, 5))
    model = converted(Factors(), ids)
    exported, _ = assert_round_trip(model, ids.float(), dynamo=False)
    names = ["torch", "qonnx", "onnxruntime"]
    report = verify_agreement(exported, ids.float(), model, executors=names)
    report.raise_if_different(required=names)


class Places(nn.Module):
    """A table that is a parameter, and rows that are the same for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.place = nn.Parameter(torch.randn(5, 3)), nn.Embedding(6, 3)
        self.kind, self.fc = nn.Embedding(2, 3), nn.Linear(3, 2)
        self.register_buffer("numbers", torch.arange(6))

    def forward(self, ids: Tensor) -> Tensor:
        size = ids.shape[1]
        x = F.embedding(ids, self.words, padding_idx=0) + self.place(self.numbers[:size])
        return self.fc(x + self.kind(torch.arange(size, device=ids.device) % 2))


def test_rows_that_are_the_same_for_every_input(torch_seed):
    ids, network = torch.randint(0, 5, (16, 4)), Places()
    model = converted(network, ids, bit_width=8, example=ids)
    assert (model(ids) - network(ids)).abs().max() < 0.1
    assert_round_trip(model, ids.float(), dynamo=False)


class Sum(nn.Module):
    def __init__(self, **options: float) -> None:
        super().__init__()
        self.word = nn.Embedding(5, 3, **options)

    def forward(self, ids: Tensor) -> Tensor:
        return self.word(ids) + ids[..., None]


def test_numbers_are_an_input_of_their_own():
    text = (
        "word: its numbers must be an input of their own, but 'ids' goes to add too; "
        "give forward two arguments"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(text)}$"):
        quantize(Sum())
    with pytest.raises(ConversionError, match="word: Embedding: max_norm must be None, not 1.0"):
        quantize(Sum(max_norm=1.0))


@pytest.mark.parametrize(
    ("shape", "attributes", "text"),
    [
        ((4, 2, 1), {"axis": 0}, "Gather 'logits_node': its table 'w' must be a matrix of at most "
         "4096 rows, not of shape [4, 2, 1]"),
        ((4, 2), {"axis": 1}, "Gather 'logits_node': axis must be 0, not 1"),
    ],
)  # fmt: skip
def test_other_tables_are_refused(shape, attributes, text):
    b = QonnxBuilder((3,))
    number = b.node("Cast", [b.quant("x", "q", 2, 0, signed=False)], "number", to=7)
    b.constant("w", torch.zeros(shape).numpy())
    b.node("Gather", [b.quant("w", "wq", 4, 2), number], "logits", **attributes)
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        load_qonnx(b.model("logits", (3, 2)))
