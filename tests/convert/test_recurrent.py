"""Recurrent layers as users write them: for their output or state, with a state or without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import export_qonnx, import_qonnx, quantize
from brevitas_quantizers.fixed_point import ConversionError, OptionError
from brevitas_quantizers.nn import QuantLSTM
from qfx_plugin import verify_agreement
from tests.convert.helpers import converted
from tests.convert.walk import float_arithmetic

STEPS, FEATURES, HIDDEN = 3, 2, 3


class Recurrent(nn.Module):
    """Base of the networks: one layer, and one with weights behind it."""

    kind: type[nn.Module] = nn.LSTM
    options: dict[str, object] = {"batch_first": True}
    steps = STEPS
    width = HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.rnn = self.kind(FEATURES, HIDDEN, **self.options)
        self.fc = nn.Linear(self.width, 2)


class LastOutput(Recurrent):
    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        return self.fc(out[:, -1, :])


class LastState(Recurrent):
    kind = nn.GRU

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(1, x.size(0), HIDDEN).to(x.device)
        return self.fc(self.rnn(x, h0)[1].view(-1, HIDDEN))


class BothWays(Recurrent):
    kind = nn.LSTM
    options = {"batch_first": True, "bidirectional": True, "num_layers": 2, "dropout": 0.2}
    steps = 2
    width = 2 * HIDDEN

    def forward(self, x: Tensor) -> Tensor:
        hidden, (h_n, c_n) = self.rnn(x)
        return self.fc(torch.cat((h_n[-2], h_n[-1, :, :]), dim=1)) + hidden.sum(1)[:, :2]


class StepsFirst(Recurrent):
    kind = nn.RNN
    options = {"nonlinearity": "relu", "num_layers": 2, "bias": False}

    def forward(self, x: Tensor) -> Tensor:
        out, h_n = self.rnn(x.transpose(1, 2).permute(2, 0, 1))
        return self.fc(out[-1]) + self.fc(h_n.transpose(0, 1)[:, 0])


class TwoLayers(Recurrent):
    kind = nn.GRU
    options = {"bias": False}

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.RNN(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        out, hidden = self.rnn(x.transpose(0, 1))
        out, hidden = self.second(out, hidden)
        return self.fc(out.transpose(0, 1))


class GivenState(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(FEATURES, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        start = self.start(x[:, 0])
        state = (start.unsqueeze(0), torch.stack([start]))
        return self.fc(self.rnn(x, state)[0])


class Loop(nn.Module):
    """Cells in a loop, as tutorials have them."""

    steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(FEATURES, HIDDEN), nn.GRUCell(HIDDEN, HIDDEN)
        self.rnn = nn.RNNCell(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], HIDDEN)
        c, g, r = torch.zeros_like(h), None, None
        for step in range(x.shape[1]):
            h, c = self.lstm(x[:, step], (h, c))
            g = self.gru(h, g)
            r = self.rnn(g, r)
        return r


NETWORKS = [LastOutput, LastState, BothWays, StepsFirst, TwoLayers, GivenState, Loop]


@pytest.mark.parametrize("kind", NETWORKS)
def test_converted_exported_and_equal(kind, torch_seed):
    network, x = kind().eval(), torch.rand(6, kind.steps, FEATURES) * 2 - 1
    model = converted(network, x, example=x[:1], bit_width=7)
    with torch.no_grad():
        assert (model(x) - network(x)).abs().max() < 0.1
    names = {name for name in model.state_dict() if "_quant." not in name}
    assert names == set(network.state_dict())
    model.load_state_dict(network.state_dict())
    exported = export_qonnx(model, x[:1])
    assert float_arithmetic(exported) == []
    agreement = verify_agreement(
        exported, x.numpy(), torch_model=model, executors=["torch", "onnxruntime"]
    )
    agreement.raise_if_different(required=["torch", "onnxruntime"])


def test_the_file_holds_each_layer_once(torch_seed):
    x = torch.rand(6, STEPS, FEATURES)
    model = converted(LastState(), x, example=x[:1], bit_width=5)
    exported = export_qonnx(model, x[:1])
    again = import_qonnx(exported)
    assert isinstance(again.rnn.l0.hh, torch.nn.Linear)
    targets = [node.target for node in again.graph.nodes]
    assert targets.count("rnn.l0.hh") == STEPS - 1
    names = [tensor.name for tensor in exported.graph.initializer]
    assert names.count("rnn.l0.hh.weight") == 1
    other = export_qonnx(again, x[:1])
    exported.graph.name = other.graph.name
    assert other.SerializeToString() == exported.SerializeToString()


def test_options_reach_the_slots(torch_seed):
    model = quantize(
        LastOutput(),
        overrides={nn.LSTM: {"weight_bit_width": 4, "input_bit_width": 6, "act_bit_width": 7}},
        first_layer={"bias_bit_width": 5},
    )
    step = model.rnn.l0
    assert isinstance(model.rnn, QuantLSTM)
    assert step.hh.weight_quant.quantizer.width == 4
    assert step.ih.bias_quant.quantizer.width == 5
    assert step.tanh.input_quant.quantizer.width == 6
    assert step.cell.act_quant.quantizer.width == step.sigmoid.output_quant.quantizer.width == 7
    with pytest.raises(OptionError, match=r"rnn: what a table is given must have at most 12 bits"):
        quantize(LastOutput(), bit_width=16)


class Refused(Recurrent):
    def __init__(self, use: object, **options: object) -> None:
        self.options = {"batch_first": True} | options
        super().__init__()
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self, x)


REFUSALS = {
    "results of a recurrent layer are returned whose batch is axis 1: take one of": Refused(
        lambda self, x: self.rnn(x)[1][0]
    ),
    "results of a recurrent layer are used whose batch is axis 1: take one of": Refused(
        lambda self, x: self.fc(self.rnn(x)[1][0])
    ),
    "must be given one of the results of a recurrent layer, not all": Refused(
        lambda self, x: self.rnn(x)
    ),
    "LSTM with batch_first=False takes the batch behind the steps, where no": Refused(
        lambda self, x: self.fc(self.rnn(x)[0][-1]), batch_first=False
    ),
    "LSTM with batch_first=True must be given the batch first": Refused(
        lambda self, x: self.fc(self.rnn(x.transpose(0, 1))[0][:, -1])
    ),
    "LSTM: proj_size must be 0, not 1": Refused(lambda self, x: self.rnn(x)[0][:, -1], proj_size=1),
    "LSTM must be given batch, steps and features, not a tensor of 2 axes": Refused(
        lambda self, x: self.rnn(x[:, 0])[0]
    ),
    "must be given both states, or none: one of them is zero": Refused(
        lambda self, x: self.rnn(x, (x[:, :1, :1].transpose(0, 1), x.new_zeros(1, 2, HIDDEN)))[0]
    ),
    "must be given its state behind the batch: h.unsqueeze(0) of": Refused(
        lambda self, x: self.rnn(x, (x, x))[0]
    ),
    "has 2 results, not one number 2": Refused(lambda self, x: self.rnn(x)[2]),
}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text, torch_seed):
    with pytest.raises(ConversionError) as caught:
        quantize(REFUSALS[text], example=torch.rand(2, STEPS, FEATURES))
    assert text in str(caught.value)
