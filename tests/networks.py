"""Small float networks in the shapes that people train: ResNet-20, MobileNet, a detector."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, as in He et al. 2015."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet20(nn.Module):
    """ResNet-20 for 32x32 images.

    Args:
        classes: number of outputs.
        width: channels of the first stage; 16 in the paper.
        blocks: of each stage; 1 is ResNet-8, with every kind of layer of ResNet-20.
    """

    def __init__(self, classes: int = 10, width: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.blocks = blocks
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 32, 32) to (batch, classes)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size()[2:])
        return self.linear(out.view(out.size(0), -1))

    def _stage(self, inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            BasicBlock(inputs, outputs, stride),
            *(BasicBlock(outputs, outputs, 1) for _ in range(self.blocks - 1)),
        )


class MobileNet(nn.Module):
    """MobileNet of depthwise separable convolutions for small images.

    Args:
        classes: number of outputs.
        width: channels of the first convolution.
        activation: `nn.ReLU` or `nn.ReLU6`.
    """

    def __init__(
        self, classes: int = 10, width: int = 16, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                activation(inplace=True),
            ),
            _separable(width, 2 * width, 1, activation),
            _separable(2 * width, 4 * width, 2, activation),
            _separable(4 * width, 4 * width, 1, activation),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(4 * width, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, height, width) to (batch, classes)."""
        return self.classifier(self.pool(self.features(x)).flatten(1))


def _separable(
    inputs: int, outputs: int, stride: int, activation: type[nn.Module]
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        activation(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(inplace=True),
    )


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class SharedHead(nn.Module):
    """One head for all levels, as in AQD (arXiv 2007.06919): only the batch norms are a level's."""

    def __init__(self, channels: int, classes: int, levels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))
        self.scores = nn.Conv2d(channels, classes, 1)
        self.sides = nn.Conv2d(channels, 4, 1)
        nn.init.constant_(self.scores.bias, -4.0)
        nn.init.constant_(self.sides.bias, 1.0)

    def forward(self, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Scores and sides of each level."""
        results = []
        for x, norm in zip(levels, self.norms, strict=True):
            y = F.relu(norm(self.conv(x)))
            results.append((self.scores(y), self.sides(y)))
        return results


class Detector(nn.Module):
    """Levels of strides 4 and 8, the coarse one added to the fine one, and a head for both.

    Args:
        widths: channels of the stem, of the two levels, and of the head.
        classes: of objects.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 32, 24), classes: int = 10):
        super().__init__()
        stem, fine, coarse, channels = widths
        self.stem = _block(3, stem, 2)
        self.fine = nn.Sequential(_block(stem, fine, 2), _block(fine, fine))
        self.coarse = nn.Sequential(_block(fine, coarse, 2), _block(coarse, coarse))
        self.lateral_fine = nn.Conv2d(fine, channels, 1)
        self.lateral_coarse = nn.Conv2d(coarse, channels, 1)
        self.head = SharedHead(channels, classes, levels=2)

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scores and distances to a box's sides, of the fine level and of the coarse."""
        fine = self.fine(self.stem(x))
        coarse = self.lateral_coarse(self.coarse(fine))
        above = F.interpolate(coarse, scale_factor=2, mode="nearest")
        return self.head([self.lateral_fine(fine) + above, coarse])
