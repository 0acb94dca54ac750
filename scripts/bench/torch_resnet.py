"""ResNet18 and ResNet50 in PyTorch for prediction, from layers alone; only a benchmark imports it."""

from collections.abc import Callable

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from peers import DEVIATION, MEAN
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.utils.fusion import fuse_conv_bn_eval  # pyright: ignore[reportMissingImports]

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def conv(before: int, after: int, window: int, stride: int = 1) -> nn.Conv2d:
    """A convolution with the batch norm after it fused in."""
    plain = nn.Conv2d(before, after, window, stride, window // 2, bias=False).eval()
    return fuse_conv_bn_eval(plain, nn.BatchNorm2d(after).eval())


class Block(nn.Module):
    """A basic block, or a bottleneck with four times `width` channels at its end."""

    def __init__(self, before: int, width: int, stride: int, wide: bool):
        super().__init__()
        after = 4 * width if wide else width
        if wide:
            layers = [conv(before, width, 1), conv(width, width, 3, stride), conv(width, after, 1)]
        else:
            layers = [conv(before, width, 3, stride), conv(width, after, 3)]
        self.layers = nn.ModuleList(layers)
        self.shortcut = conv(before, after, 1, stride) if stride > 1 or before != after else nn.Identity()

    def forward(self, x):
        """[n, before, h, w] -> [n, after, h / stride, w / stride]."""
        y = x
        for layer in self.layers[:-1]:
            y = torch.relu(layer(y))
        return torch.relu(self.layers[-1](y) + self.shortcut(x))


def network(name: str, points: int) -> nn.Module:
    """[n, 3, s, s], normalised -> [n, 2 points]."""
    wide, blocks, before = name == "resnet50", [], 64
    for stage, depth in enumerate(DEPTHS[name]):
        for index in range(depth):
            blocks.append(Block(before, 64 * 2**stage, 2 if stage and not index else 1, wide))
            before = 64 * 2**stage * (4 if wide else 1)
    stem = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 2 * points))


def ready(name: str, points: int, image: np.ndarray) -> Callable[[], object]:
    """Runs the network on pictures f32[n, s, s, 3] in 0..255, normalisation included as ours includes it."""
    model = network(name, points).eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    mean, deviation = (255 * torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    pixels = torch.from_numpy(image).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def run():
        return model((pixels - mean) / deviation).reshape(-1, points, 2)

    return run
