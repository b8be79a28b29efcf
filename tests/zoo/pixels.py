"""Images to images and boxes: segmentation, detection, super-resolution, keypoints."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .table import block, network


@network((1, 8, 8))
class UNet(nn.Module):
    """Two levels, transposed convolution, skip by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = nn.Sequential(block(1, 4), block(4, 4))
        self.down = nn.Sequential(nn.MaxPool2d(2), block(4, 6))
        self.up = nn.ConvTranspose2d(6, 4, kernel_size=2, stride=2)
        self.conv = block(8, 4)
        self.outc = nn.Conv2d(4, 2, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.up(self.down(x1))
        return self.outc(self.conv(torch.cat([x1, x2], dim=1)))


@network((1, 9, 9))
class BilinearUNet(nn.Module):
    """The most copied one: bilinear, padded to the size of the skip."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = block(1, 4)
        self.down = nn.Sequential(nn.MaxPool2d(2), block(4, 4))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv = block(8, 4)
        self.outc = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x2 = self.inc(x)
        x1 = self.up(self.down(x2))
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.outc(self.conv(torch.cat([x2, x1], dim=1)))


@network((3, 8, 8))
class FeaturePyramid(nn.Module):
    """Two levels with lateral sums, one head for both."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = block(3, 4, stride=2), block(4, 6, stride=2)
        self.lateral1, self.lateral2 = nn.Conv2d(4, 4, 1), nn.Conv2d(6, 4, 1)
        self.head = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        c1 = self.c1(x)
        c2 = self.c2(c1)
        p2 = self.lateral2(c2)
        p1 = self.lateral1(c1) + F.interpolate(p2, scale_factor=2, mode="nearest")
        return [self.head(F.relu(p)) for p in (p1, p2)]


class Detections(NamedTuple):
    """What a detector gives."""

    scores: Tensor
    boxes: Tensor


@network((3, 8, 8))
class BoxDetector(nn.Module):
    """Scores and boxes of each cell, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(block(3, 4, stride=2), block(4, 6, stride=2))
        self.scores = nn.Conv2d(6, 2, 1)
        self.boxes = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Detections:
        f = self.backbone(x)
        return Detections(self.scores(f), self.boxes(f))


@network((3, 8, 8))
class YoloHeads(nn.Module):
    """Two scales; predictions as (anchors, cells, numbers), offsets by a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2)
        self.down = block(4, 6, stride=2)
        self.large, self.small = nn.Conv2d(6, 10, 1), nn.Conv2d(10, 10, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem(x)
        deep = self.down(fine)
        up = F.interpolate(deep, size=fine.shape[-2:])
        return self._decode(self.large(deep)), self._decode(self.small(torch.cat((up, fine), 1)))

    def _decode(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        x = x.view(batch, 2, 5, height, width).permute(0, 1, 3, 4, 2).contiguous()
        return torch.sigmoid(x).reshape(batch, -1, 5)


@network((1, 6, 6))
class SubPixel(nn.Module):
    """ESPCN: super-resolution by PixelShuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5, padding=2)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv1(x))
        x = torch.tanh(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))


@network((1, 6, 6))
class ResidualUpscaling(nn.Module):
    """What bilinear interpolation lacks, by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.feature = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PReLU(4))
        self.map = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.PReLU())
        self.deconv = nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        base = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return base + self.deconv(self.map(self.feature(x)))


@network((1, 8, 8))
class Hourglass(nn.Module):
    """Heatmaps of keypoints: down, up, and the sum with what stayed."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = block(1, 4)
        self.low = nn.Sequential(nn.MaxPool2d(2, 2), block(4, 4), nn.Upsample(scale_factor=2))
        self.side = block(4, 4, 1)
        self.heat = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        return self.heat(self.side(x) + self.low(x))


@network((3, 8, 8))
class AtrousPyramid(nn.Module):
    """DeepLab's head: dilated branches beside the image's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, stride=2)
        self.branches = nn.ModuleList(
            nn.Conv2d(4, 3, 3, padding=rate, dilation=rate, bias=False) for rate in (1, 2)
        )
        self.pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.ReLU())
        self.project = nn.Sequential(block(9, 4, 1), nn.Dropout(0.5), nn.Conv2d(4, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = self.stem(x)
        pooled = F.interpolate(self.pooling(x), size=x.shape[-2:], mode="nearest")
        x = self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@network((3, 8, 8))
class ClassMap(nn.Module):
    """The class of each pixel as an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(3, 4), block(4, 4, groups=4))
        self.classifier = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.argmax(self.classifier(self.body(x)), dim=1)


@network((1, 8, 8))
class DepthMap(nn.Module):
    """Mirrored edges, inverse depth by a softplus."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 4, 3)
        self.conv3 = nn.Conv2d(4, 1, 3)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.conv1(self.pad(x)))
        x = self.up(F.elu(self.conv2(self.pad(x))))
        return F.softplus(self.conv3(self.pad(x)))


@network((6,))
class Generator(nn.Module):
    """An image from a vector, as of a GAN."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(6, 24)
        self.net = nn.Sequential(
            nn.BatchNorm2d(6), nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(4),
            nn.LeakyReLU(0.25), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.net(self.project(z).view(-1, 6, 2, 2))


@network((1, 8, 8))
class ConvolutionalAutoencoder(nn.Module):
    """Through a vector of four and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
        )
        self.decoder = nn.Sequential(
            nn.Linear(4, 64), nn.ReLU(), nn.Unflatten(1, (4, 4, 4)),
            nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@network((3, 8, 8), (3, 8, 8))
class ChangeDetection(nn.Module):
    """Two images of one place: shared features, their difference upsampled to a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(block(3, 4, stride=2), block(4, 4))
        self.mask = nn.Conv2d(4, 1, 1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        difference = torch.abs(self.features(after) - self.features(before))
        return F.interpolate(self.mask(difference), scale_factor=2.0)


@network((1, 6, 6))
class DenoisingCNN(nn.Module):
    """DnCNN: the noise is learned and taken away, between 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), block(4, 4), nn.Conv2d(4, 1, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x - self.net(x), 0, 1)
