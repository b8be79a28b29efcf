"""Recurrent layers on their own: the float layers' arguments and parameters, states, refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from brevitas_quantizers import calibrate, hardware_cost, learned_formats
from brevitas_quantizers.fixed_point import DataError, ExportError, OptionError
from brevitas_quantizers.nn import QuantGRU, QuantGRUCell, QuantLSTM, QuantLSTMCell, QuantRNN
from brevitas_quantizers.nn.states import States

TWINS = {QuantLSTM: nn.LSTM, QuantGRU: nn.GRU, QuantRNN: nn.RNN}


def flat(found: object) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    return [tensor for part in found for tensor in flat(part)]


@pytest.mark.parametrize("kind", TWINS)
def test_results_are_those_of_the_float_layer(kind, torch_seed):
    options = {"num_layers": 2, "bidirectional": True}
    layer, twin = kind(3, 2, **options), TWINS[kind](3, 2, **options)
    twin.load_state_dict({n: v for n, v in layer.state_dict().items() if "_quant." not in n})
    x, h = torch.rand(4, 5, 3) * 2 - 1, torch.rand(4, 5, 2)
    hx = (h, h) if kind is QuantLSTM else h
    calibrate(layer, [{"input": x, "hx": hx}, {"input": x}]).eval()
    with torch.no_grad():
        for given in ((x,), (x, hx)):
            for a, b in zip(flat(layer(*given)), flat(twin(*given)), strict=True):
                assert a.shape == b.shape
                assert (a - b).abs().max() < 0.1
    one = learned_formats(layer)[f"l0.{'function.output' if kind is QuantRNN else 'hidden.act'}"]
    codes = torch.stack(flat(layer(x)[0])) * 2.0**one.frac_bits
    assert torch.equal(codes, codes.round())


def test_a_copy_reads_its_own_parameters(torch_seed):
    layer = QuantGRU(2, 2, batch_first=True)
    other, x = copy.deepcopy(layer), torch.rand(2, 3, 2)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert other.l0.hh.weight is other.weight_hh_l0
    assert layer.l0.hh.weight is layer.weight_hh_l0
    layer(x)[0].sum().backward()
    assert all(p.grad is not None for n, p in layer.named_parameters() if "_quant" not in n)
    cost = hardware_cost(nn.Sequential(layer), x)
    names = ("ih", "hh", "sigmoid", "tanh")
    assert {part.name for part in cost.layers} == {f"0.l0.{name}" for name in names}


def test_refusals():
    with pytest.raises(OptionError, match="^QuantLSTM: proj_size must be 0: put a QuantLinear"):
        QuantLSTM(2, 2, proj_size=1)
    with pytest.raises(OptionError, match="^QuantGRU: option 'wieght_bit_width' must begin with"):
        QuantGRU(2, 2, wieght_bit_width=4)
    with pytest.raises(OptionError, match="input_bit_width must be at most 12, not 13"):
        QuantGRUCell(2, 2, gate_bit_width=13)
    with pytest.raises(DataError, match=r"three axes, batch, steps and features, not shape \(3, 2"):
        QuantRNN(2, 2)(torch.zeros(3, 2))
    packed = nn.utils.rnn.pack_sequence([torch.zeros(3, 2)])
    with pytest.raises(DataError, match="three axes, batch, steps and features, not PackedSeq"):
        QuantRNN(2, 2)(packed)
    with pytest.raises(DataError, match="a state must have 2 parts, one for each layer and direct"):
        QuantGRU(2, 2, num_layers=2)(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2))
    assert len(QuantLSTMCell(2, 2)(torch.rand(1, 2))) == 2


def test_lists_in_place_of_a_first_axis():
    stack = torch.arange(24).reshape(3, 2, 4)
    parts = States(stack.unbind(0))
    assert torch.equal(parts[-1], stack[-1])
    assert torch.equal(parts[0, :, 1:3], stack[0, :, 1:3])
    assert torch.equal(parts[1:][0], stack[1])
    assert torch.equal(parts.permute(1, 2, 0), stack.permute(1, 2, 0))
    assert torch.equal(parts.transpose(0, 1), stack.transpose(0, 1))
    assert torch.equal(parts[2:].squeeze(0), stack[2])
    assert parts.unbind() == parts[:].unbind(0)
    assert (parts.size(), parts.size(1)) == (stack.shape, 2)
    for wrong in (lambda: parts.view(-1), lambda: parts.squeeze(1), lambda: parts.transpose(1, 2)):
        with pytest.raises(ExportError, match="where the batch stands in front: take one of them"):
            wrong()
