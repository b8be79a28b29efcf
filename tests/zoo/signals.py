"""Signals in time: audio, ECG, radio, vibration, inertial sensors, text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .table import block, block1d, network


@network((1, 12, 8))
class KeywordSpotting(nn.Module):
    """DS-CNN on a spectrogram."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, 6, (5, 3), (2, 2), (2, 1), bias=False), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.layers = nn.Sequential(
            block(6, 6, groups=6), block(6, 6, 1), block(6, 6, groups=6), block(6, 6, 1)
        )
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.layers(self.first(x)))
        x = F.avg_pool2d(x, kernel_size=x.shape[2:])
        return self.fc(x.view(x.size(0), -1))


@network((1, 64))
class RawAudio(nn.Module):
    """M5: convolutions on the samples themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 4, kernel_size=8, stride=4)
        self.bn1 = nn.BatchNorm1d(4)
        self.pool1 = nn.MaxPool1d(2)
        self.conv2 = nn.Conv1d(4, 6, kernel_size=3)
        self.bn2 = nn.BatchNorm1d(6)
        self.fc1 = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(F.relu(self.bn1(self.conv1(x))))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool1d(x, x.shape[-1])
        x = x.permute(0, 2, 1)
        return F.log_softmax(self.fc1(x), dim=2).squeeze(1) if self.training else self.fc1(x)[:, 0]


@network((6, 16))
class TCResNet(nn.Module):
    """Coefficients as channels, convolutions in time with shortcuts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv1d(6, 4, 3, padding=1, bias=False)
        self.body = nn.Sequential(
            nn.Conv1d(4, 8, 5, 2, 2, bias=False), nn.BatchNorm1d(8), nn.ReLU(inplace=True),
            nn.Conv1d(8, 8, 5, 1, 2, bias=False), nn.BatchNorm1d(8),
        )  # fmt: skip
        self.side = nn.Sequential(
            nn.Conv1d(4, 8, 1, 2, bias=False), nn.BatchNorm1d(8), nn.ReLU(inplace=True)
        )
        self.linear = nn.Conv1d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0(x)
        x = F.relu(self.body(x) + self.side(x))
        x = F.adaptive_avg_pool1d(x, 1)
        return torch.flatten(self.linear(x), 1)


@network((1, 32))
class ECGResNet(nn.Module):
    """Beats of a heart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block1d(1, 4, 7, 2)
        self.conv1 = block1d(4, 4, 5)
        self.conv2 = nn.Sequential(nn.Conv1d(4, 4, 5, padding=2), nn.BatchNorm1d(4))
        self.pool = nn.MaxPool1d(kernel_size=3, stride=2, padding=1)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 8), nn.LeakyReLU(0.1),
            nn.Linear(8, 5),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        identity = x
        out = self.conv2(self.conv1(x))
        out += identity
        return self.head(self.pool(F.relu(out)))


@network((2, 16))
class WaveNet(nn.Module):
    """Causal dilated convolutions with gates, and the sum of what they skip."""

    def __init__(self) -> None:
        super().__init__()
        self.dilations = (1, 2, 4)
        self.filters = nn.ModuleList(nn.Conv1d(4, 4, 2, dilation=d) for d in self.dilations)
        self.gates = nn.ModuleList(nn.Conv1d(4, 4, 2, dilation=d) for d in self.dilations)
        self.mixes = nn.ModuleList(nn.Conv1d(4, 4, 1) for _ in self.dilations)
        self.first = nn.Conv1d(2, 4, 1)
        self.last = nn.Conv1d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        skips = []
        for d, f, g, mix in zip(self.dilations, self.filters, self.gates, self.mixes, strict=True):
            padded = F.pad(x, (d, 0))
            z = mix(torch.tanh(f(padded)) * torch.sigmoid(g(padded)))
            skips.append(z)
            x = x + z
        return self.last(F.relu(sum(skips)))


class Chomp(nn.Module):
    """Takes away what the padding put behind."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : -self.size].contiguous()


@network((3, 16))
class TemporalConvolution(nn.Module):
    """TCN: padding on both sides, chomped."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, dilation in ((3, 1), (4, 2)):
            layers += [nn.Conv1d(inputs, 4, 3, padding=2 * dilation, dilation=dilation)]
            layers += [Chomp(2 * dilation), nn.ReLU(), nn.Dropout(0.1)]
        self.network = nn.Sequential(*layers)
        self.downsample = nn.Conv1d(3, 4, 1)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.network(x) + self.downsample(x))
        return self.linear(y[:, :, -1])


@network((1, 32))
class WaveUNet(nn.Module):
    """Sources from a mixture: a U-Net in time."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv1d(1, 4, 5, padding=2)
        self.down2 = nn.Conv1d(4, 6, 5, padding=2)
        self.up = nn.ConvTranspose1d(6, 4, kernel_size=2, stride=2)
        self.last = nn.Conv1d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.leaky_relu(self.down1(x), 0.125)
        h = F.leaky_relu(self.down2(skip[:, :, ::2]), 0.125)
        return self.last(torch.cat([self.up(h), skip], dim=1))


@network((2, 32))
class RadioModulation(nn.Module):
    """I and Q to the modulation: VGG in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (2, 6, 6):
            layers += [nn.Conv1d(inputs, 6, 3, padding=1, bias=False), nn.BatchNorm1d(6)]
            layers += [nn.ReLU(), nn.MaxPool1d(2)]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 8), nn.ReLU())
        self.out = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.net(x))


@network((1, 32))
class DenoisingAutoencoder(nn.Module):
    """Noise of a signal, by way of a quarter of its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 4, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv1d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv1d(6, 4, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv1d(4, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x - self.decoder(self.encoder(x))


@network((16, 6))
class ActivityRecognition(nn.Module):
    """Accelerometer and gyroscope, batch first and time next."""

    def __init__(self) -> None:
        super().__init__()
        self.accelerometer = nn.Conv1d(3, 4, 5, stride=2)
        self.gyroscope = nn.Conv1d(3, 4, 5, stride=2)
        self.fc = nn.Linear(48, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 1)
        a, g = F.relu(self.accelerometer(x[:, :3])), F.relu(self.gyroscope(x[:, 3:]))
        return self.fc(torch.cat((a, g), dim=1).flatten(start_dim=1))


@network((1, 48))
class VibrationMonitor(nn.Module):
    """A bearing's state: pools of many kinds, squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(1, 8, 8, stride=4, padding=2), nn.BatchNorm1d(8), nn.ReLU6()
        )
        self.squeeze = nn.Conv1d(8, 2, 1)
        self.excite = nn.Conv1d(2, 8, 1)
        self.pool = nn.AvgPool1d(2)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        w = x.mean(-1, keepdim=True)
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(w))))
        return self.fc(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1))


@network((10,), classes=(12,))
class TextCNN(nn.Module):
    """Words to vectors, convolutions of several sizes, the largest in time."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 5)
        self.convs = nn.ModuleList(nn.Conv1d(5, 4, size) for size in (2, 3))
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x).transpose(1, 2)
        return self.fc(torch.cat([F.relu(c(x)).max(dim=2)[0] for c in self.convs], dim=1))


@network((4, 16))
class InceptionTime(nn.Module):
    """Convolutions of several lengths side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(4, 3, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv1d(3, 3, size, padding="same", bias=False) for size in (3, 5, 9)
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(4, 3, 1, bias=False))
        self.norm = nn.BatchNorm1d(12)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bottleneck(x)
        y = torch.cat([*(conv(y) for conv in self.convs), self.pooled(x)], dim=1)
        return self.fc(F.relu(self.norm(y)).mean(-1))
