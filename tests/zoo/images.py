"""Images to classes: the architectures of the last thirty years, tiny."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.networks import MobileNet, ResNet20

from .table import block, network


@network((1, 16, 16))
class LeNet(nn.Module):
    """LeCun et al. 1998, with its tanh and its average pools."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc1 = nn.Linear(24, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(-1, 24)
        return self.fc2(torch.tanh(self.fc1(x)))


@network((3, 8, 8))
class TinyVGG(nn.Module):
    """3x3 convolutions and maximum pools."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for size in (4, "M", 6, "M"):
            if size == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            else:
                layers += [nn.Conv2d(inputs, size, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = size
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(nn.Linear(24, 8), nn.ReLU(True), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@network((3, 8, 8))
class TinyResNet(ResNet20):
    """Stages of residual blocks."""

    def __init__(self) -> None:
        super().__init__(4, 3, 1)


@network((3, 8, 8))
class TinyMobileNet(MobileNet):
    """Depthwise separable convolutions."""

    def __init__(self) -> None:
        super().__init__(4, 3)


class InvertedResidual(nn.Module):
    """Wide inside, narrow at its ends."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and inputs == outputs
        hidden = inputs * expand
        self.conv = nn.Sequential(
            block(inputs, hidden, 1, activation=nn.ReLU6),
            block(hidden, hidden, 3, stride, hidden, nn.ReLU6),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


@network((3, 8, 8))
class MobileNetV2(nn.Module):
    """Inverted residuals with ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            block(3, 4, stride=2, activation=nn.ReLU6),
            InvertedResidual(4, 4, 1, 2),
            InvertedResidual(4, 6, 2, 2),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SqueezeExcite(nn.Module):
    """Channels weighed by their means."""

    def __init__(self, channels: int, gate: type[nn.Module]) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, 2, 1)
        self.fc2 = nn.Conv2d(2, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.fc2(F.relu(self.fc1(self.avgpool(x))))) * x


@network((3, 8, 8))
class MobileNetV3(nn.Module):
    """Hardswish, and squeeze-and-excite by a hardsigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2, activation=nn.Hardswish)
        self.depthwise = block(4, 4, groups=4, activation=nn.Hardswish)
        self.squeeze = SqueezeExcite(4, nn.Hardsigmoid)
        self.project = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(4, 8), nn.Hardswish(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.squeeze(self.depthwise(x)))
        return self.head(torch.flatten(self.pool(x), 1))


@network((3, 8, 8))
class EfficientNet(nn.Module):
    """SiLU everywhere, and squeeze-and-excite by a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2, activation=nn.SiLU)
        self.expand = block(4, 8, 1, activation=nn.SiLU)
        self.depthwise = block(8, 8, groups=8, activation=nn.SiLU)
        self.squeeze = SqueezeExcite(8, nn.Sigmoid)
        self.project = nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.squeeze(self.depthwise(self.expand(x))))
        return self.fc(F.adaptive_avg_pool2d(x, (1, 1)).reshape(x.shape[0], -1))


@network((3, 8, 8))
class ShuffleNetV2(nn.Module):
    """Half of the channels goes through, then all are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8, stride=2)
        self.branch = nn.Sequential(
            block(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4), block(4, 4, 1)
        )
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(1):
            x = self.stem(x)
            x1, x2 = x.chunk(2, dim=1)
            x = self.shuffle(torch.cat((x1, self.branch(x2)), dim=1), 2)
        return self.fc(x.mean([2, 3]))

    @staticmethod
    def shuffle(x: Tensor, groups: int) -> Tensor:
        batch, channels, height, width = x.size()
        x = x.view(batch, groups, channels // groups, height, width)
        x = torch.transpose(x, 1, 2).contiguous()
        return x.view(batch, channels, height, width)


@network((3, 8, 8))
class GhostNet(nn.Module):
    """Half of the features are cheap copies of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2)
        self.primary = block(4, 4, 1)
        self.cheap = block(4, 4, groups=4)
        self.shortcut = nn.Conv2d(4, 7, 1)
        self.classifier = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x1 = self.primary(x)
        out = torch.cat([x1, self.cheap(x1)], dim=1)
        x = out[:, :7, :, :] + self.shortcut(x)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1))


@network((3, 8, 8))
class RepVGG(nn.Module):
    """Three branches that could be one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2)
        self.dense = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.point = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.identity = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.dense(x) + self.point(x) + self.identity(x))
        return self.linear(nn.functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))


@network((3, 8, 8))
class DenseNet(nn.Module):
    """Each layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 2, 3, padding=1, bias=False))
            for n in (4, 6)
        )
        self.norm = nn.BatchNorm2d(8)
        self.transition = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AvgPool2d(2, stride=2))
        self.classifier = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.conv0(x)]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        x = self.transition(self.norm(torch.cat(features, 1)))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(F.relu(x), (1, 1)), 1))


@network((3, 8, 8))
class Inception(nn.Module):
    """Four branches, one of them a pool with padding."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1 = block(3, 2, 1)
        self.branch2 = nn.Sequential(block(3, 2, 1), block(2, 3, 3))
        self.branch3 = nn.Sequential(block(3, 2, 1), block(2, 2, 5))
        self.branch4 = block(3, 2, 1)
        self.fc = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(pooled)]
        x = F.max_pool2d(torch.cat(branches, 1), 3, stride=2)
        return self.fc(torch.flatten(x.mean((-2, -1)), 1))


@network((3, 12, 12))
class SqueezeNet(nn.Module):
    """Fire: squeeze, then expand by two kernels; a convolution is the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, kernel_size=3, stride=2)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.squeeze = nn.Conv2d(4, 2, 1)
        self.expand1x1 = nn.Conv2d(2, 4, 1)
        self.expand3x3 = nn.Conv2d(2, 4, 3, padding=1)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(8, 4, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(self.pool(F.relu(self.conv1(x)))))
        x = torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)
        return torch.flatten(self.classifier(x), 1)


@network((3, 8, 8))
class SpatialGate(nn.Module):
    """CBAM's spatial half: a mask from the mean and the largest of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2)
        self.mask = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        mean, largest = torch.mean(x, dim=1, keepdim=True), torch.max(x, dim=1, keepdim=True)[0]
        x = x * torch.sigmoid(self.mask(torch.cat([mean, largest], dim=1)))
        return self.fc(x.mean(dim=(2, 3)))


@network((3, 8, 8))
class BinaryConvolutions(nn.Module):
    """A network that becomes binary: pool before norm, hardtanh behind."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.Hardtanh(),
            nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Hardtanh(inplace=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(2 * x - 1)
        return self.classifier(x.view(x.shape[0], -1))


@network((3, 8, 8))
class ConvMixer(nn.Module):
    """Patches, then depthwise and pointwise convolutions with GELU."""

    def __init__(self) -> None:
        super().__init__()
        gelu = partial(block, activation=nn.GELU)
        self.patches = nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.GELU(), nn.BatchNorm2d(6))
        self.depthwise = gelu(6, 6, 3, groups=6)
        self.pointwise = gelu(6, 6, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        x = self.pointwise(self.depthwise(x) + x)
        return self.head(x)


@network((2, 8, 8))
class Res2Net(nn.Module):
    """Groups of channels, each with the result of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(2, 6, 1)
        self.convs = nn.ModuleList(block(2, 2) for _ in range(2))
        self.last = nn.Sequential(nn.Conv2d(6, 6, 1, bias=False), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        parts = torch.split(x, 2, 1)
        first = self.convs[0](parts[0])
        second = self.convs[1](first + parts[1])
        x = F.relu(self.last(torch.cat((first, second, parts[2]), 1)) + x)
        return self.fc(F.adaptive_max_pool2d(x, 1).flatten(1))


@network((3, 8, 8))
class NormalisedMaxout(nn.Module):
    """Mean and deviation of the data set inside, the larger of two layers, the best class."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(36, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        x = F.max_pool2d(torch.maximum(self.a(x), self.b(x)), 2)
        return self.fc(x.flatten(1)).argmax(dim=1)
