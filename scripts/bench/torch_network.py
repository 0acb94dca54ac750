"""PyTorch's side of the network rows, plain and optimised; runs in the peers' environment.

settings["best"]: channels_last, for inference with batch norm fused as well. Weights, images and targets are those that our
side left in the folder.
"""

if __name__ == "__main__":
    raise SystemExit("torch_network.py is a part of run.py, and does nothing by itself")

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from contest_folder import labelled
from torch import nn  # pyright: ignore[reportMissingImports]
from torch_resnet import ResNet, fused, normalised
from worker import Side, load

_BATCH = 32  # images at a time: where PyTorch is fastest on a CPU
_SCALE = 64.0  # residuals times this are what the loss is of, as in ours


def network(settings: dict, folder: Path, outputs: int) -> ResNet:
    """The network with the weights in the folder."""
    model = ResNet(settings["model"], outputs)
    named = {name: torch.from_numpy(value) for name, value in load(folder, "weights").items()}
    missing, unknown = model.load_state_dict(named, strict=False)
    assert not unknown and all(name.endswith("num_batches_tracked") for name in missing), (missing, unknown)
    return model


def train(settings: dict, folder: Path) -> Side:
    """One step of AdamW on the smooth L1 loss. settings: model, points, best, bf16."""
    images, target = (torch.from_numpy(load(folder, "batch")[name]) for name in ("images", "target"))
    images = images.permute(0, 3, 1, 2).contiguous()
    target, model = target.flatten(1), network(settings, folder, 2 * settings["points"]).train()
    if settings["best"]:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        images = images.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)

    def backward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bf16", False)):
            output = model(normalised(images))
        loss = nn.functional.smooth_l1_loss(_SCALE * output.float(), _SCALE * target)
        optimiser.zero_grad()
        loss.backward()
        return loss

    def turn():
        backward()
        optimiser.step()

    loss, norms = backward(), [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return Side(turn, {"loss": loss.detach().numpy(), "grad_norm": torch.stack(norms).norm().numpy()})


def infer(settings: dict, folder: Path) -> Side:
    """Prediction of images in memory. settings: model, points, best."""
    images = torch.from_numpy(load(folder, "batch")["images"]).permute(0, 3, 1, 2)
    model = network(settings, folder, 2 * settings["points"]).eval()
    images = images if settings["best"] else images.contiguous()  # as it lies it is channels_last
    if settings["best"]:
        model = fused(model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def turn():
        return model(normalised(images)).reshape(-1, settings["points"], 2)

    return Side(turn, {"points": turn().numpy()})


def views(settings: dict, folder: Path) -> Side:
    """Images from files, one view of a batch after another: grid_sample, the fused network, points back.

    settings: model, size, count, data. Files are decoded by a thread for each core, a batch ahead.
    """
    size, (paths, labels) = settings["size"], labelled(Path(settings["data"]))
    paths, points = paths[: settings["count"]], labels.shape[1] // 2
    model = fused(network(settings, folder, 2 * points)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    views = load(folder, "views")
    inverses = [np.linalg.inv(np.vstack([m, [0, 0, 1]]))[:2] for m in views["matrices"]]
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    grids = []
    for inverse in inverses:
        places = np.stack([x, y], -1) @ inverse[:, :2].T + inverse[:, 2]
        grids.append(torch.from_numpy((2 * (places + 0.5) / size - 1).astype(np.float32)))
    pool = ThreadPoolExecutor(torch.get_num_threads())

    def loaded(start: int):
        return [pool.submit(_read, path, size) for path in paths[start : start + _BATCH]]

    @torch.inference_mode()
    def turn() -> np.ndarray:
        merged, waiting = [], loaded(0)
        for start in range(0, len(paths), _BATCH):
            images, scales = zip(*(one.result() for one in waiting), strict=True)
            waiting, seen = loaded(start + _BATCH), torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
            seen, total = seen - 128, 0.0  # what lies outside of the image is grey
            for grid, inverse in zip(grids, inverses, strict=True):
                view = nn.functional.grid_sample(seen, grid.expand(len(seen), -1, -1, -1), align_corners=False)
                heads = model(normalised(view + 128)).reshape(len(seen), -1, 2).double().numpy()
                found = (heads * (size / 2) + (size - 1) / 2) @ inverse[:, :2].T + inverse[:, 2]
                total = total + (found[:, views["mirror"]] if np.linalg.det(inverse[:, :2]) < 0 else found)
            scales = np.array(scales)[:, None]
            merged.append((total / len(grids) + 0.5) * scales - 0.5)
        return np.concatenate(merged)

    return Side(turn, {"points": turn()})


def _read(path: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A square JPEG of 500 px at the input's size, decoded at a quarter of its sides; its pixels for each of the input's."""
    mode = cv2.IMREAD_REDUCED_COLOR_4 if size <= 125 else cv2.IMREAD_REDUCED_COLOR_2
    image = cv2.imread(path, mode)
    assert image is not None
    scale = 500 / size
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.array([scale, scale])
