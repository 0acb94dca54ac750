"""PyTorch's side of gpu.py, in a process that gpu.py starts: a line of JSON in, a line of JSON out.

{"do": "ready", ...} makes a training step or a prediction and runs it three times, {"do": "round", "steps": N} runs it N times
and gives the seconds, {"do": "memory"} the most bytes that it held. The networks are ours, layer for layer, channels last,
under AMP's autocast for bfloat16; what is compiled is compiled whole.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable

if __name__ == "__main__" and "--help" in sys.argv:
    raise SystemExit("gpu_torch.py is started by gpu.py, and does nothing by itself")

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch_resnet import DEVIATION, MEAN, ResNet, fused

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def training(job: dict) -> Callable[[], object]:
    """A step: smooth L1, gradients clipped to norm 1, AdamW, as ours; of images that lie on the device, not rendered."""
    model = ResNet(job["network"], 2 * job["points"]).to(DEVICE, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2, fused=DEVICE == "cuda")
    forward = torch.compile(model, backend="inductor" if DEVICE == "cuda" else "eager") if job["compiled"] else model
    mean, deviation, pixels = inputs(job)
    target = torch.rand(job["batch"], 2 * job["points"], device=DEVICE)

    def step():
        with torch.autocast(DEVICE, torch.bfloat16, enabled=job["precision"] == "bfloat16"):
            found = forward((pixels - mean) / deviation)
        loss = nn.functional.smooth_l1_loss(found.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return step


def predicting(job: dict) -> Callable[[], object]:
    """Predictions in eval mode under inference_mode, batch norm fused, of images that lie on the device."""
    model = fused(ResNet(job["network"], 2 * job["points"]))
    model = model.to(DEVICE, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    mean, deviation, pixels = inputs(job)

    @torch.inference_mode()
    def predict():
        with torch.autocast(DEVICE, torch.bfloat16, enabled=job["precision"] == "bfloat16"):
            return model((pixels - mean) / deviation)

    return predict


def inputs(job: dict) -> list[torch.Tensor]:
    """ImageNet's mean and deviation in 0..255, and random images, channels last; on the device."""
    scale = [255 * torch.tensor(v, device=DEVICE).reshape(1, 3, 1, 1) for v in (MEAN, DEVIATION)]
    pixels = 255 * torch.rand(job["batch"], 3, job["size"], job["size"], device=DEVICE)
    return [*scale, pixels.to(memory_format=torch.channels_last)]


def synchronise() -> None:
    """Wait for the card."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def answer(job: dict, held: list[Callable]) -> dict:
    """What a line asks for; held: the step or prediction that was made ready, at most one."""
    if job["do"] == "ready":
        held.clear()
        gc.collect()
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        torch.set_float32_matmul_precision("high" if job["precision"] == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = job["precision"] == "tf32"
        held.append((training if job["kind"] == "training" else predicting)(job))
        for _ in range(3):
            held[0]()
        synchronise()
        return {}
    if job["do"] == "memory":
        return {"bytes": torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None}
    began = time.perf_counter()
    for _ in range(job["steps"]):
        held[0]()
    synchronise()
    return {"seconds": time.perf_counter() - began}


def main() -> None:
    """Answer until the input ends; an error is an answer."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.backends.cudnn.benchmark = True
    if DEVICE == "cuda":
        torch.cuda.set_per_process_memory_fraction(float(sys.argv[1]))
    held: list[Callable] = []
    print(json.dumps({"version": torch.__version__, "device": DEVICE}), file=out, flush=True)
    for line in sys.stdin:
        try:
            said = answer(json.loads(line), held)
        except Exception as error:  # a row's outcome, not the end
            said = {"error": str(error).strip().partition("\n")[0] or type(error).__name__}
        print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    main()
