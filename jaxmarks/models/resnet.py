"""ResNet backbones, layer for layer torchvision's (v1.5: a bottleneck strides in its 3x3 convolution).

Names map to torchvision's by `layer1_0` for `layer1.0`, and by `downsample_0` and `downsample_1` for the
convolution `downsample.0` and its norm `downsample.1`. Source: He et al. 2015, "Deep Residual Learning for
Image Recognition".
"""

from flax import linen as nn
from jax import Array

from jaxmarks.models.layers import Backbone, BatchNorm, Conv
from jaxmarks.models.ops import Ops


def _shortcut(x: Array, features: int, stride: int, ops: Ops, train: bool) -> Array:
    """The identity, or a 1x1 projection where the shape changes; called inside a block's compact method."""
    if stride == 1 and x.shape[3] == features:
        return x
    x = Conv(features, 1, ops, stride, name="downsample_0")(x)
    return BatchNorm(ops, name="downsample_1")(x, train)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, f32[b, h, w, i] -> f32[b, h', w', width]."""

    width: int
    stride: int
    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        y = Conv(self.width, 3, self.ops, self.stride, name="conv1")(x)
        y = nn.relu(BatchNorm(self.ops, name="bn1")(y, train))
        y = Conv(self.width, 3, self.ops, name="conv2")(y)
        y = BatchNorm(self.ops, name="bn2")(y, train)
        return nn.relu(y + _shortcut(x, self.width, self.stride, self.ops, train))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, f32[b, h, w, i] -> f32[b, h', w', 4 * width]."""

    width: int
    stride: int
    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        y = Conv(self.width, 1, self.ops, name="conv1")(x)
        y = nn.relu(BatchNorm(self.ops, name="bn1")(y, train))
        y = Conv(self.width, 3, self.ops, self.stride, name="conv2")(y)
        y = nn.relu(BatchNorm(self.ops, name="bn2")(y, train))
        y = Conv(4 * self.width, 1, self.ops, name="conv3")(y)
        y = BatchNorm(self.ops, name="bn3")(y, train)
        return nn.relu(y + _shortcut(x, 4 * self.width, self.stride, self.ops, train))


class ResNet(Backbone):
    """A stem and four stages, f32[b, h, w, 3] -> f32[b, ceil(h / 32), ceil(w / 32), c]."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]
    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        x = Conv(64, 7, self.ops, 2, name="conv1")(x)
        x = self.ops.max_pool(nn.relu(BatchNorm(self.ops, name="bn1")(x, train)))
        for stage, depth in enumerate(self.depths, start=1):
            for index in range(depth):
                stride = 2 if stage > 1 and index == 0 else 1
                block = self.block(64 * 2 ** (stage - 1), stride, self.ops, name=f"layer{stage}_{index}")
                x = block(x, train)
        return x


def resnet18(ops: Ops) -> Backbone:
    """Return ResNet18: 512 channels at the end.

    Args:
        ops: the forms of its operations.

    Returns:
        f32[b, s, s, 3] -> f32[b, ceil(s / 32), ceil(s / 32), 512].
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), ops, name="backbone")


def resnet50(ops: Ops) -> Backbone:
    """Return ResNet50: 2048 channels at the end.

    Args:
        ops: the forms of its operations.

    Returns:
        f32[b, s, s, 3] -> f32[b, ceil(s / 32), ceil(s / 32), 2048].
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), ops, name="backbone")
