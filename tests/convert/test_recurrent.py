"""Recurrent layers as users write them: read for their output or their state, with one or without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import quantize
from brevitas_quantizers.fixed_point import ConversionError, OptionError
from brevitas_quantizers.nn import QuantLSTM
from tests.convert.helpers import converted, prove

STEPS, FEATURES, HIDDEN = 3, 2, 3


class Recurrent(nn.Module):
    """Base of the networks: one layer, and one with weights behind it."""

    kind: type[nn.Module] = nn.LSTM
    options: dict[str, object] = {"batch_first": True}
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
        return self.fc(self.rnn(x, h0)[1].squeeze(0))


class BothWays(Recurrent):
    kind = nn.LSTM
    options = {"batch_first": True, "bidirectional": True, "num_layers": 2, "dropout": 0.2}
    width = 2 * HIDDEN

    def forward(self, x: Tensor) -> Tensor:
        hidden, (h_n, c_n) = self.rnn(x)
        return self.fc(torch.cat((h_n[-2], h_n[-1, :, :]), dim=1)) + hidden.mean(1)[:, :2]


class StepsFirst(Recurrent):
    kind = nn.RNN
    options = {"nonlinearity": "relu", "num_layers": 2, "bias": False}

    def forward(self, x: Tensor) -> Tensor:
        out, h_n = self.rnn(x.permute(1, 0, 2))
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
    network, x = kind().eval(), torch.rand(6, STEPS, FEATURES) * 2 - 1
    model = converted(network, x, example=x[:1], bit_width=7)
    with torch.no_grad():
        assert (model(x) - network(x)).abs().max() < 0.1
    names = {name for name in model.state_dict() if "_quant." not in name}
    assert names == set(network.state_dict())
    model.load_state_dict(network.state_dict())
    prove(model, x)
