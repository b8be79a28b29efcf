"""Vectors, sets, graphs and tables: physics, point clouds, control, anomaly detection."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .table import network


@network((16,))
class JetTagger(nn.Module):
    """Five classes of jets by 16 features, as in hls4ml's first paper."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(16, 16)
        self.fc2 = nn.Linear(16, 8)
        self.fc3 = nn.Linear(8, 8)
        self.output = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = F.relu(self.fc3(x))
        return self.output(x)


@network((16,), drop_tail=True)
class JetSoftmax(nn.Module):
    """With batch norm and the softmax that users leave in."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5), nn.Softmax(dim=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@network((12,))
class AnomalyAutoencoder(nn.Module):
    """How far an event is from what the network can say of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12))

    def forward(self, x: Tensor) -> Tensor:
        error = x - self.decoder(self.encoder(x))
        return error.abs().mean(dim=1, keepdim=True)


@network((10,))
class LatentEncoder(nn.Module):
    """The mean and the logarithm of the variance of a variational autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 8), nn.ELU(), nn.Linear(8, 8), nn.ELU())
        self.mean = nn.Linear(8, 2)
        self.variance = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mean(h), self.variance(h)


@network((9,))
class ResidualTable(nn.Module):
    """Rows of a table through residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(9, 8)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
            for _ in range(2)
        )
        self.last = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.blocks:
            x = x + layer(x)
        return self.last(F.relu(x)).squeeze(-1)


@network((4,), (2,), classes=(0, 6))
class CategoricalTable(nn.Module):
    """Numbers beside two categories with an embedding each."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(6, 3)
        self.second = nn.Embedding(6, 2)
        self.fc1 = nn.Linear(9, 8)
        self.fc2 = nn.Linear(8, 2)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        parts = [numbers, self.first(categories[:, 0]), self.second(categories[:, 1])]
        return self.fc2(F.relu(self.fc1(torch.cat(parts, dim=1))))


@network((12,))
class GatedUnits(nn.Module):
    """Linear layers whose second half gates the first."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(12, 16)
        self.fc2 = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(value * torch.sigmoid(gate))


@network((8,))
class MixtureOfExperts(nn.Module):
    """Two experts and a gate between 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)) for _ in range(2)
        )
        self.gate = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        g = torch.sigmoid(self.gate(x))
        return g * self.experts[0](x) + (1 - g) * self.experts[1](x)


@network((8,), (8,))
class Siamese(nn.Module):
    """Whether two measurements are of one thing: shared layers, an absolute difference."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.abs(self.embed(a) - self.embed(b)))


@network((8,))
class BinaryPerceptron(nn.Module):
    """Hardtanh between layers, as for a network that becomes binary."""

    def __init__(self) -> None:
        super().__init__()
        layers = OrderedDict[str, nn.Module]()
        for number, (inputs, outputs) in enumerate(((8, 12), (12, 12))):
            layers[f"fc{number}"] = nn.Linear(inputs, outputs, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm1d(outputs)
            layers[f"act{number}"] = nn.Hardtanh()
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


@network((6,))
class ActorCritic(nn.Module):
    """A policy bounded by tanh, and the value of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.actor = nn.Linear(8, 2)
        self.critic = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.base(x)
        return {"action": torch.tanh(self.actor(h)), "value": self.critic(h)}


@network((3, 12))
class PointNet(nn.Module):
    """Classes of a cloud of points: the same layers for each, the largest of all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(3, 8, 1)
        self.conv2 = nn.Conv1d(8, 12, 1)
        self.bn1 = nn.BatchNorm1d(8)
        self.bn2 = nn.BatchNorm1d(12)
        self.fc1 = nn.Linear(12, 8)
        self.fc2 = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = torch.max(x, 2, keepdim=True)[0]
        x = x.view(-1, 12)
        return self.fc2(F.relu(self.fc1(x)))


@network((3, 10))
class PointSegmentation(nn.Module):
    """A class for each point, by itself and by the whole cloud."""

    def __init__(self) -> None:
        super().__init__()
        self.local = nn.Sequential(nn.Conv1d(3, 6, 1), nn.ReLU())
        self.all = nn.Sequential(nn.Conv1d(6, 8, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Conv1d(14, 8, 1), nn.ReLU(), nn.Conv1d(8, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        points = x.size(2)
        local = self.local(x)
        whole = self.all(local).max(dim=2, keepdim=True).values
        return self.head(torch.cat([local, whole.expand(-1, -1, points)], dim=1))


@network((8, 5))
class DeepSet(nn.Module):
    """Particles of a jet in no order: layers on the last axis, a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.rho(self.phi(x).sum(dim=1))


@network((6, 4))
class GraphConvolution(nn.Module):
    """Nodes mix with their neighbours by a normalised adjacency matrix."""

    def __init__(self) -> None:
        super().__init__()
        ring = torch.eye(6) + torch.eye(6).roll(1, 0) + torch.eye(6).roll(-1, 0)
        self.register_buffer("adjacency", ring / 3)
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.adjacency @ self.fc1(x))
        return torch.matmul(self.adjacency, self.fc2(x)).mean(dim=1)


@network((4, 5))
class InteractionNetwork(nn.Module):
    """Messages along the edges of a graph, whose ends are incidence matrices."""

    def __init__(self) -> None:
        super().__init__()
        ends = torch.tensor([(a, b) for a in range(5) for b in range(5) if (a - b) % 5 in (1, 2)])
        self.register_buffer("senders", F.one_hot(ends[:, 0], 5).float().t().contiguous())
        self.register_buffer("receivers", F.one_hot(ends[:, 1], 5).float().t().contiguous())
        self.edge = nn.Sequential(nn.Conv1d(8, 6, 1), nn.ReLU())
        self.node = nn.Sequential(nn.Conv1d(10, 6, 1), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        sent, received = torch.matmul(x, self.senders), torch.matmul(x, self.receivers)
        messages = self.edge(torch.cat((sent, received), 1))
        gathered = torch.matmul(messages, self.receivers.t())
        return self.head(torch.sum(self.node(torch.cat((x, gathered), 1)), dim=-1))


@network((8, 6))
class MLPMixer(nn.Module):
    """Layers along patches and along channels, by turns, without norms."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
        self.channels = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(x)
        return self.head(x.mean(dim=1))


class Affine(nn.Module):
    """What a ResMLP has for a norm."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(size) + 0.5)
        self.beta = nn.Parameter(torch.rand(size) - 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * x + self.beta


@network((6, 8))
class ResMLP(nn.Module):
    """Affine, a linear layer across patches, a scale of the residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = Affine(8)
        self.mix = nn.Linear(6, 6)
        self.gamma = nn.Parameter(torch.rand(8))
        self.norm2 = Affine(8)
        self.mlp = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma * self.mix(self.norm1(x).permute(0, 2, 1)).permute(0, 2, 1)
        x = x + self.mlp(self.norm2(x))
        return self.head(x.mean(1))
