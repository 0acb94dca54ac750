"""ResNet18 and ResNet50 in PyTorch, entry for entry torchvision's, from layers alone; only benchmarks import it."""

if __name__ == "__main__":
    raise SystemExit("torch_resnet.py is a part of run.py, and does nothing by itself")

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.utils.fusion import fuse_conv_bn_eval  # pyright: ignore[reportMissingImports]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def _conv(before: int, after: int, window: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, window, stride, window // 2, bias=False)


class Block(nn.Module):
    """Convolutions of (window, stride) to `widths` channels, each with its batch norm, and a shortcut."""

    def __init__(self, before: int, widths: tuple[int, ...], windows: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        self.count, stride, width = len(widths), max(strides), before
        for n, (after, window, step) in enumerate(zip(widths, windows, strides, strict=True), 1):
            setattr(self, f"conv{n}", _conv(width, after, window, step))
            setattr(self, f"bn{n}", nn.BatchNorm2d(after))
            width = after
        changed = stride > 1 or before != width
        self.downsample = nn.Sequential(_conv(before, width, 1, stride), nn.BatchNorm2d(width)) if changed else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """[n, before, h, w] -> [n, after, h / stride, w / stride]."""
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = self.relu(y) if n < self.count else y
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _stage(before: int, width: int, depth: int, stride: int, wide: int) -> nn.Sequential:
    """Blocks of a stage; wide: 4 for bottlenecks, 1 for basic blocks."""

    def block(before: int, stride: int) -> Block:
        if wide == 1:
            return Block(before, (width, width), (3, 3), (stride, 1))
        return Block(before, (width, width, wide * width), (1, 3, 1), (1, stride, 1))

    return nn.Sequential(block(before, stride), *(block(wide * width, 1) for _ in range(depth - 1)))


class ResNet(nn.Module):
    """[n, 3, s, s], normalised -> [n, outputs]; initial values as torchvision's."""

    def __init__(self, name: str, outputs: int):
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        wide = 4 if name == "resnet50" else 1
        widths = [64 * 2**stage for stage in range(4)]
        befores, strides = [64, *(wide * width for width in widths[:3])], (1, 2, 2, 2)
        stages = [_stage(*each, wide) for each in zip(befores, widths, DEPTHS[name], strides, strict=True)]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(wide * widths[3], outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        """The mean over positions of the last stage, through one linear layer."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


def fused(model: ResNet) -> ResNet:
    """The network in eval mode, every batch norm fused into the convolution before it."""
    model = model.eval()
    owners = [m for m in model.modules() if isinstance(m, ResNet | Block)]
    for owner in owners:
        for n in range(1, 4):
            if hasattr(owner, f"bn{n}"):
                conv = fuse_conv_bn_eval(getattr(owner, f"conv{n}"), getattr(owner, f"bn{n}"))
                setattr(owner, f"conv{n}", conv)
                setattr(owner, f"bn{n}", nn.Identity())
        if isinstance(owner, Block) and owner.downsample is not None:
            conv, norm = owner.downsample
            owner.downsample = nn.Sequential(fuse_conv_bn_eval(conv, norm))  # pyright: ignore[reportArgumentType]
    return model


def normalised(images: torch.Tensor) -> torch.Tensor:
    """[n, 3, h, w] in 0..255 -> the network's input."""
    return (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
