"""How fast training is, against the same layers written plainly, and where the time goes.

    python benchmarks/training.py --data faces64.safetensors
    python benchmarks/training.py --data faces64.safetensors --seconds 60 --json training.json

Plain: the `larsen2016` networks and losses, eager, float32, contiguous, one image at a time out of
JPEG files through a DataLoader with a worker a core. Ours: the same networks in the project's
trainer. All train in turns, for the same time; absolute numbers belong to this machine and its
load, the ratio travels. On a GPU our trainer records its steps and replays them; there it is shown
without that, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torchvision.transforms.functional as T  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from vaegan import data, losses  # noqa: E402
from vaegan.config import PRESETS, at_resolution  # noqa: E402
from vaegan.data import FaceSet  # noqa: E402
from vaegan.models import VAEGAN  # noqa: E402
from vaegan.parallel import cores  # noqa: E402
from vaegan.trainer import Trainer  # noqa: E402

FACES = 2048  # JPEG files that the plain loader reads
WARM_UP = 2  # steps before the clock runs


class Files(torch.utils.data.Dataset):
    """Photographs in JPEG files, each opened when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        x = T.to_tensor(Image.open(self.paths[index]).convert("RGB"))
        x = T.hflip(x) if torch.rand(()) < 0.5 else x
        return 2 * x - 1


def plain(faces: FaceSet, batch: int, device: str, folder: Path) -> Iterator[None]:
    """A step for each `next`: algorithm 1 of Larsen et al. 2016, one optimizer a network."""
    for index, pixels in enumerate(faces.images[:FACES]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{index:05d}.jpg")
    loader = torch.utils.data.DataLoader(
        Files(folder), batch, shuffle=True, drop_last=True, num_workers=cores()
    )
    model_config, config = PRESETS["larsen2016"]
    model = VAEGAN(at_resolution(model_config, faces.resolution)).to(device)
    optimizers = {
        name: torch.optim.RMSprop(network.parameters(), lr=config.learning_rate)
        for name, network in model.networks.items()
    }

    def descend(name: str, loss: Tensor) -> None:
        optimizers[name].zero_grad()
        loss.backward(inputs=list(model.networks[name].parameters()), retain_graph=True)

    while True:
        for x in loader:
            x = x.to(device)
            mu, logvar = model.encoder(x)
            z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
            both = model.decoder(torch.cat([z, torch.randn_like(z)]))
            fakes = both.split(len(x))
            real = model.discriminator(x)[0]
            fooled = [model.discriminator(fake.detach())[0] for fake in fakes]
            descend("discriminator", losses.discriminator_bce(real, fooled))
            optimizers["discriminator"].step()

            with torch.no_grad():
                features = model.discriminator(x)[1]
            judged = [model.discriminator(fake) for fake in fakes]
            feature = losses.feature_loss_gaussian(judged[0][1], features)
            adversarial = losses.decoder_bce([verdict[0] for verdict in judged])
            descend("encoder", losses.kl_divergence(mu, logvar) + feature)
            descend("decoder", config.gamma * feature + adversarial)
            optimizers["encoder"].step()
            optimizers["decoder"].step()
            yield


def ours(
    preset: str,
    faces: FaceSet,
    batch: int,
    device: str,
    out: Path,
    compiled: bool,
    record: bool,
) -> Iterator[None]:
    """A step of the project's trainer for each `next`."""
    model, training = PRESETS[preset]
    # The gate skips updates, and before the adversary there is half a step to do: both would be
    # quicker for a reason that is none.
    training = dataclasses.replace(
        training, batch_size=batch, equilibrium_margin=0.0, adversary_start=0
    )
    model = at_resolution(model, faces.resolution)
    trainer = Trainer(model, training, faces, out, device, compile=compiled, record=record)
    while True:
        trainer.train_step()
        yield


def measure(runs: dict[str, Iterator[None]], seconds: float, wait: Callable[[], None]) -> dict:
    """Median seconds of a step of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(WARM_UP):
            next(run)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, run in runs.items():
            wait()
            start = time.perf_counter()
            next(run)
            wait()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def where(run: Iterator[None], cuda: bool, steps: int = 3) -> tuple[list[tuple[str, float]], float]:
    """The operations that take most of a step, as shares; and on a GPU, kernel over wall time."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    start = time.perf_counter()
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            next(run)
        if cuda:
            torch.cuda.synchronize()
    wall = 1e6 * (time.perf_counter() - start)
    attribute = "self_device_time_total" if cuda else "self_cpu_time_total"
    spent = {event.key: getattr(event, attribute) for event in profiler.key_averages()}
    total = sum(spent.values())
    most = sorted(spent.items(), key=lambda item: -item[1])[:8]
    return [(name, value / total) for name, value in most], total / wall


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures training against plain training.")
    parser.add_argument("--data", required=True, help="a prepared set")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="all measuring together")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile in our trainer")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    flags = parser.parse_args(arguments)
    faces = data.load(flags.data).subset("train")
    cuda = flags.device.startswith("cuda")
    wait = torch.cuda.synchronize if cuda else (lambda: None)
    report: dict[str, object] = {"device": flags.device, "batch": flags.batch_size}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shared = faces, flags.batch_size, flags.device
        runs = {"larsen2016, plain": plain(*shared, folder)}
        for preset in ("larsen2016", "default"):
            runs[f"{preset}, ours"] = ours(preset, *shared, folder / preset, flags.compile, True)
            if cuda:
                out = folder / f"{preset}-unrecorded"
                runs[f"{preset}, not recorded"] = ours(preset, *shared, out, flags.compile, False)
        memory = {}
        for name, run in runs.items():
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            next(run)
            memory[name] = _peak(cuda)
        medians = measure(runs, flags.seconds, wait)
        slowest = medians["larsen2016, plain"]
        print(f"{'':24}{'images/s':>10}{'ratio':>8}{'peak memory':>14}")
        for name, median in medians.items():
            rate = flags.batch_size / median
            print(f"{name:24}{rate:>10.0f}{slowest / median:>8.2f}{memory[name]:>10.0f} MB")
            report[name] = {
                "images_per_second": round(rate, 1),
                "ratio": round(slowest / median, 3),
                "peak_megabytes": round(memory[name]),
            }
        most, busy = where(runs["larsen2016, ours"], cuda)
    print("\nwhere the time of larsen2016, ours, goes")
    for name, share in most:
        print(f"  {share:6.1%}  {name}")
    if cuda:
        print(f"the GPU is busy for {busy:.0%} of the time")
        report["busy"] = round(busy, 3)
    print("\nMemory is all that was taken until then, so it rises from row to row.")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average {load:.1f}; torch {torch.__version__}")
    report |= {"load": round(load, 1), "where": dict(most), "torch": torch.__version__}
    if flags.json:
        flags.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _peak(cuda: bool) -> float:
    """Megabytes."""
    if cuda:
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    sys.exit(main())
