"""The training loop: one for all models, resumed by running the same command again."""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vaegan import checkpoint, curves, distributed, eigenfaces, files, images
from vaegan.augment import flip
from vaegan.config import ModelConfig, TrainConfig
from vaegan.data import FaceSet
from vaegan.distributed import Draws, seed_of
from vaegan.errors import UserError
from vaegan.models import BLENDED, Model, Phase, Step, build
from vaegan.networks import echo, encode_all
from vaegan.prior import Prior, blended
from vaegan.recording import Recording

CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
FACES = 8192  # at most, whose principal components training begins with
LOG_EVERY = 50  # steps between two lines of the metrics file
RUNAWAY = 1e4  # a loss beyond this is a divergence; healthy ones stay below a few hundred


class TrainingError(UserError):
    """A run that cannot begin or go on, said in one sentence."""


class Interrupted(Exception):
    """The user asked the run to stop; its state is saved."""


@dataclass(frozen=True)
class Chosen:
    """What was decided by looking at the machine when the run began, and must not change."""

    autocast: bool
    accumulate: int = 1  # parts that a batch is computed in


class Trainer:
    """Trains `build(model_config)` on the training part of a face set.

    Everything lives under `out`, which should be held meanwhile (`files.alone`): `checkpoint.pt`,
    `metrics.jsonl`, `curves.svg`, `samples/` and `reconstructions/`. If a checkpoint is there, the
    run goes on from it.

    Args:
        faces: prepared faces; some of the validation part are drawn in grids, nobody else counts.
        init: networks' weights to start from (fine-tuning), as `Snapshot.networks`; a run that goes
            on has its own.
        began_with: how those were trained, as `Snapshot.training`: the new snapshot says so too.
        accumulate: parts that a batch is computed in, one after the other, to save memory. Batch
            norm, minibatch deviation, the relative feature loss and what prior samples are blended
            from see a part at a time, and spectral norm iterates with each. The losses of naming
            and of edits are means over a part's labels, however many are known. Prior samples and
            edits are rounded to whole ones in each part, and edits are of its first pictures: 0.25
            of a batch of 6 are 2, and of three parts of 2 none, which is refused. All else is as
            with the whole batch. A VAE-GAN keeps what encoder and decoder computed for all parts
            until the discriminator has stepped.
        compile: whether torch.compile shall make the networks faster.
        record: whether steps on one GPU are recorded and replayed, if they can be.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        train_config: TrainConfig,
        faces: FaceSet,
        out: Path,
        device: str = "cpu",
        init: dict[str, torch.nn.Module] | None = None,
        began_with: dict[str, Any] | None = None,
        accumulate: int = 1,
        compile: bool = False,
        record: bool = True,
    ) -> None:
        self.device = torch.device(device)
        self.out = Path(out)
        self.fingerprint = faces.fingerprint
        self.began_with = began_with
        saved = self._saved()
        if saved:
            init = None
            self.began_with = saved["began_with"]
            model_config = ModelConfig.from_dict(saved["model_config"])
            steps = train_config.steps
            train_config = replace(TrainConfig.from_dict(saved["train_config"]), steps=steps)
            accumulate = Chosen(**saved["chosen"]).accumulate
        self.config = train_config
        train = faces.subset("train")
        self.train_set = train.images.to(self.device)
        self.labels = _labels(train, model_config.attributes).to(self.device)
        # A view would keep the whole part.
        self.grid_set = faces.subset("validation").images[:32].to(self.device, copy=True)
        shares = distributed.world_size() * accumulate
        if self.config.batch_size % shares:
            raise TrainingError(
                "The batch size is not a multiple of the number of processes and parts."
            )
        if self.config.batch_size < 2 * shares:
            raise TrainingError("Every process and part needs at least two faces of each batch.")
        apart = [self.config.prior_samples, self.config.edits if model_config.attributes else 0]
        seen = [round(self.config.batch_size // shares * share) for share in apart]
        whole = [round(self.config.batch_size * share) for share in apart]
        adversarial = model_config.model == "vaegan"
        if adversarial and model_config.discriminator_batch_norm and 1 in seen:
            raise TrainingError(
                "With batch norm in the discriminator, prior samples and edits must be none or at "
                "least two of each batch."
            )
        if adversarial and seen.count(0) > whole.count(0):
            raise TrainingError(
                "A process's or a part's share of a batch is too small to have prior samples or "
                "edits of its own, which the whole batch has."
            )
        if accumulate > 1 and self.config.equilibrium_margin:
            raise TrainingError(
                "The equilibrium gate looks at whole batches, so gradients cannot be accumulated."
            )
        if len(self.train_set) < self.config.batch_size:
            raise TrainingError(
                f"A batch of {self.config.batch_size} needs as many training faces; "
                f"there are {len(self.train_set)}."
            )
        torch.manual_seed(self.config.seed)
        self.model = build(model_config).to(self.device, memory_format=torch.channels_last)
        if not (saved or init):
            some = self.train_set[:: math.ceil(len(self.train_set) / FACES)]
            eigenfaces.initialise(self.model.networks, images.to_float(some))
        for name, network in (init or {}).items():
            self.model.networks[name].load_state_dict(network.state_dict())
        if model_config.attributes and not saved:
            self._begin_labels()
        distributed.broadcast(self.model)
        self.optimizers = {
            name: _optimizer(network, self.config) for name, network in self.model.networks.items()
        }
        self.average = checkpoint.ExponentialMovingAverage(self.model, self.config.ema_decay)
        self.step, self.seconds = 0, 0.0
        if saved:
            self._restore(saved)
        else:
            self.chosen = Chosen(self._choose_autocast(), accumulate)
        for optimizer in self.optimizers.values():
            _prepare(optimizer, self.device)
        if compile:
            from torch._functorch import config  # private, so only where it is needed

            # One graph may bear two losses (`_backward`), whose first must leave it as it is.
            config.donated_buffer = False
            for network in self.model.networks.values():
                network.compile()
        self.record = record
        self.generator = torch.Generator(self.device)
        self.rows = torch.zeros(self.config.batch_size, dtype=torch.int64, device=self.device)
        self.recordings: dict[bool, Recording] = {}

    # ------------------------------------------------------------ the loop

    def run(
        self, minutes: float = math.inf, save_minutes: float = 4, grid_every: int = 500
    ) -> None:
        """Trains until `config.steps`, or for `minutes`, and saves.

        Raises:
            TrainingError: the losses or the weights diverged. The last checkpoint is from before.
            Interrupted: Ctrl-C or SIGTERM, after saving.
        """
        began, saved_at = time.monotonic(), time.monotonic()
        before, log = self.seconds, {}
        if not distributed.rank():
            files.clear_aside(self.out / CHECKPOINT)
        self._cut_metrics()
        with self._progress() as bar, _stop_signal() as stopping:
            while self.step < self.config.steps:
                log = self.train_step()
                bar.update()
                now = time.monotonic()
                self.seconds = before + now - began
                if self.step % LOG_EVERY == 0 or self.step == self.config.steps:
                    self._record(log, bar)
                if self.step % grid_every == 0:
                    self._draw_grids()
                    self._draw_curves()
                # Every process must leave the loop at the same step: the first one's clock decides.
                if self._agree(bool(stopping) or now - began > 60 * minutes):
                    break
                if now - saved_at > 60 * save_minutes:
                    self._check(log)
                    self.save()
                    saved_at = now
        self._check(log)
        self.save()
        self._draw_curves()
        if stopping:
            raise Interrupted

    def train_step(self) -> dict[str, Tensor]:
        """One batch through all phases of the model; returns the logged scalars."""
        self._set_learning_rate()
        self.rows.copy_(self._next_rows())
        log = self._recorded() if self._can_record() else self._learn()
        self.step += 1
        self.average.update(self.model, self.step)
        return log

    def _learn(self, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """All phases of a step. generator: for its draws, seeded already."""
        parts = [self._begin(part, generator) for part in range(self.chosen.accumulate)]
        while trained := self._accumulate([phases for phases, _ in parts]):
            self._descend(trained)
        logs = [step.log for _, step in parts]
        return {name: torch.stack([log[name] for log in logs]).mean() for name in logs[0]}

    def _can_record(self) -> bool:
        """Whether a step is the same work as others of its kind, all of it on one GPU."""
        return (
            self.record
            and self.device.type == "cuda"
            and distributed.world_size() == 1
            and self.chosen.accumulate == 1
            and not self.config.equilibrium_margin  # the gate looks at numbers
            and self.step >= self.config.kl_warmup
        )

    def _recorded(self) -> dict[str, Tensor]:
        alone = self.step < self.config.adversary_start
        if alone not in self.recordings:
            self.recordings[alone] = Recording(partial(self._learn, self.generator), self.generator)
        self.generator.manual_seed(seed_of(self.config.seed, self.step))
        return self.recordings[alone]()

    def _begin(self, part: int, generator: torch.Generator | None) -> tuple[Iterator[Phase], Step]:
        """A part of this step's batch, before its first phase."""
        parts = self.chosen.accumulate
        draws = Draws(self.config.seed, self.step, self.device, part, parts, generator)
        x, labels = self._batch(draws, part)
        step = Step(self.step, self.config, draws, labels)
        return self.model.phases(x, step), step

    def _accumulate(self, parts: list[Iterator[Phase]]) -> list[str]:
        """The next phase of every part; returns the networks that it trains, none at the end."""
        trained: list[str] = []
        for phases in parts:
            phase = self._next(phases)
            trained = list(phase or {})
            self._backward(phase or {}, len(parts))
        return trained

    def _next(self, phases: Iterator[dict[str, Tensor]]) -> dict[str, Tensor] | None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.chosen.autocast):
            return next(phases, None)

    def _backward(self, phase: Phase, parts: int) -> None:
        """Each loss into the parameters of its own network only."""
        receivers: dict[int, list[str]] = {}
        for name, loss in phase.items():
            receivers.setdefault(id(loss), []).append(name)
        by_loss = list(receivers.values())
        for index, names in enumerate(by_loss):
            parameters = [p for name in names for p in self.model.networks[name].parameters()]
            torch.autograd.backward(
                phase[names[0]] / parts,
                inputs=parameters,
                retain_graph=index < len(by_loss) - 1,
            )

    def _descend(self, names: list[str]) -> None:
        for name in names:
            parameters = list(self.model.networks[name].parameters())
            distributed.average_gradients(parameters)
            if self.config.clip_norm:
                torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
            self.optimizers[name].step()
            self.optimizers[name].zero_grad()

    def _next_rows(self) -> Tensor:
        """Of the training set, for global batch number `step`. Every epoch has its own order."""
        count, size = len(self.train_set), self.config.batch_size
        epoch, place = divmod(self.step, count // size)
        order = _shuffled(count, seed_of(self.config.seed, epoch))
        return order[place * size : (place + 1) * size]

    def _batch(self, draws: Draws, part: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels: this process's rows, or a part of them."""
        parts = self.chosen.accumulate
        local = self.config.batch_size // (distributed.world_size() * parts)
        rows = self.rows.split(local)[distributed.rank() * parts + part]
        x = images.to_float(self.train_set[rows]).contiguous(memory_format=torch.channels_last)
        x = flip(x, draws.uniform(local, 1)) if self.config.flip else x
        return x, self.labels[rows]

    def _begin_labels(self) -> None:
        known = self.labels.any(dim=1)
        if known.sum() < 2:  # one alone differs from nobody
            return
        encoder = self.model.eval().networks["encoder"]
        mu = encode_all(encoder, self.train_set[known])
        self.model.train().begin(mu, self.labels[known])

    def _set_learning_rate(self) -> None:
        rate = self.config.learning_rate * learning_rate_factor(self.step, self.config)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def _agree(self, over: bool) -> bool:
        if distributed.world_size() == 1:
            return over
        return bool(distributed.mean(torch.tensor(float(over), device=self.device)) > 0)

    def _check(self, log: dict[str, Tensor]) -> None:
        """Refuses to go on with, or to save, weights that are lost.

        Raises:
            TrainingError: they are.
        """
        limits = dict.fromkeys(log, RUNAWAY)
        if self.config.feature_norm == "gaussian":  # a sum: tens of thousands may be healthy
            limits["feature"] = math.inf
        bad = [name for name, value in log.items() if not abs(float(value)) < limits[name]]
        if bad:
            values = ", ".join(f"{name} = {float(log[name]):g}" for name in bad)
            raise self._diverged(values)

    def _check_weights(self) -> None:
        """The last step's losses are of the weights before it, and may be healthy yet.

        Raises:
            TrainingError: a weight is not finite.
        """
        states = [self.model.state_dict(), *self.average.state_dict().values()]
        finite = [weight.isfinite().all() for state in states for weight in state.values()]
        if not torch.stack(finite).all():
            raise self._diverged("its weights are not finite")

    def _diverged(self, how: str) -> TrainingError:
        return TrainingError(
            f"Training diverged at step {self.step} ({how}); the last good checkpoint in "
            f"{self.out} is kept. A lower learning rate or another seed may help."
        )

    def _choose_autocast(self) -> bool:
        """Whether to compute in bfloat16: on a GPU it pays, on a CPU three steps tell."""
        if self.config.precision != "auto" or self.device.type == "cuda":
            return self.config.precision != "float32"
        if self.device.type != "cpu" or distributed.world_size() > 1:
            return False
        batch = slice(self.config.batch_size)
        step = Step(
            self.config.adversary_start, self.config, Draws(0, 0, self.device), self.labels[batch]
        )
        return _autocast_wins(self.model, self.train_set[batch], step)

    # ------------------------------------------------------------ state

    def save(self) -> None:
        """Writes the checkpoint; only the first process does.

        Raises:
            TrainingError: a weight is not finite. The last checkpoint stays.
            SnapshotError: it cannot be written.
        """
        self._check_weights()
        if distributed.rank():
            return
        state = {
            "model_config": self.model.config.to_dict(),
            "train_config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "step": self.step,
            "seconds": self.seconds,
            "chosen": asdict(self.chosen),
            "data": self.fingerprint,
            "began_with": self.began_with,
        }
        checkpoint.save_checkpoint(self.out / CHECKPOINT, state)

    def _saved(self) -> dict[str, Any]:
        """The checkpoint that the run goes on from; {} if there is none.

        Raises:
            TrainingError: it is of other data.
            SnapshotError: it cannot be read.
        """
        saved = begun(self.out, self.device)
        if saved and saved["data"] != self.fingerprint:
            raise TrainingError(f"{self.out} was begun on other data; choose another --out.")
        return saved

    def _restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.chosen = Chosen(**saved["chosen"])

    def export(self, folder: Path) -> None:
        """Writes the averaged networks as a snapshot, with the prior of their latents."""
        networks = self.average.networks
        training = {
            "steps": self.step,
            "images": self.step * self.config.batch_size,
            "hours": round(self.seconds / 3600, 2),
            "device": _device_name(self.device),
            "data": self.fingerprint,
            "faces": len(self.train_set),
            "config": self.config.to_dict(),
        }
        if self.began_with:
            training["began_with"] = self.began_with
        checkpoint.save_snapshot(
            folder, self.model.config, networks, self._prior(networks), training
        )

    def _prior(self, networks: dict[str, torch.nn.Module]) -> Prior:
        if "encoder" not in networks:
            return Prior.standard(self.model.config.latent_dim)
        encoder, decoder = networks["encoder"], networks["decoder"]
        prior = Prior.fit(encode_all(encoder, self.train_set).cpu())
        return prior.with_echoes(partial(echo, encoder, decoder))

    # ------------------------------------------------------------ what people see

    def _progress(self) -> tqdm:
        return tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            desc=self.model.config.model,
            disable=bool(distributed.rank()),
            mininterval=1,
        )

    def _record(self, log: dict[str, Tensor], bar: tqdm) -> None:
        self._check(log)
        if distributed.rank():
            return
        values = {name: round(float(value), 5) for name, value in log.items()}
        rate = (bar.format_dict["rate"] or 0) * self.config.batch_size
        bar.set_postfix_str(
            f"{rate:.0f} img/s " + " ".join(f"{k}={v:.3g}" for k, v in values.items())
        )
        line = {"step": self.step, "seconds": round(self.seconds, 1), **values}
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _cut_metrics(self) -> None:
        """Drops the lines that a killed run wrote after its last checkpoint."""
        path = self.out / METRICS
        if distributed.rank() or not path.exists():
            return
        lines = [line for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["step"] <= self.step]
        with files.atomic(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _draw_curves(self) -> None:
        if not distributed.rank():
            curves.draw(self.out / METRICS, self.out / "curves.svg")

    @torch.no_grad()
    def _draw_grids(self) -> None:
        if distributed.rank():
            return
        decoder, encoder = self.average.networks["decoder"], self.average.networks.get("encoder")
        pictures = {"samples": decoder(self._grid_latents(encoder))}
        if encoder is not None and len(self.grid_set):
            x = images.to_float(self.grid_set)
            pairs = torch.stack([x, decoder(encoder(x)[0])], dim=1)
            pictures["reconstructions"] = pairs.flatten(0, 1)
        for name, x in pictures.items():
            with files.atomic(self.out / name / f"{self.step:07d}.png") as temporary:
                images.grid(x, 8).save(temporary)

    def _grid_latents(self, encoder: torch.nn.Module | None) -> Tensor:
        """The same 32 each time, from where training draws its prior samples."""
        generator = torch.Generator(self.device).manual_seed(0)
        if self.config.prior == "standard" or encoder is None:
            size = self.model.config.latent_dim
            return torch.randn(32, size, generator=generator, device=self.device)
        u = torch.rand(32, BLENDED, generator=generator, device=self.device)
        return blended(encode_all(encoder, self.train_set[:256]), u)


def begun(out: Path, device: torch.device | str = "meta") -> dict[str, Any]:
    """The checkpoint of the run in `out`; {} if there is none.

    Args:
        device: where its tensors shall be; by default nowhere, and without values.

    Raises:
        SnapshotError: it cannot be read.
    """
    path = Path(out) / CHECKPOINT
    return checkpoint.load_checkpoint(path, torch.device(device)) if path.exists() else {}


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """1 until `decay_start` of all steps, then half a cosine down to `decay_floor`."""
    progress = step / config.steps
    if progress <= config.decay_start:
        return 1.0
    part = (progress - config.decay_start) / (1 - config.decay_start)
    return config.decay_floor + (1 - config.decay_floor) * 0.5 * (1 + math.cos(math.pi * part))


def _optimizer(network: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=config.learning_rate)
    return torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=1e-4,
        fused=True,
    )


def _prepare(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Lets its step be recorded on a GPU, where the rate must be a tensor to change afterwards.

    Its state may come from a run on another device.
    """
    recorded = device.type == "cuda"
    for group in optimizer.param_groups:
        rate, group["capturable"] = float(group["lr"]), recorded
        group["lr"] = torch.tensor(rate, device=device) if recorded else rate
    for state in optimizer.state.values():
        state["step"] = state["step"].to(device)


@lru_cache(maxsize=1)
def _shuffled(count: int, seed: int) -> Tensor:
    """The order of an epoch, (count,); every step of it asks again."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _labels(faces: FaceSet, names: tuple[str, ...]) -> Tensor:
    """(N, A) int8 in the order of `names`; 0, unknown, where the set does not have one."""
    labels = torch.zeros(len(faces), len(names), dtype=torch.int8)
    for column, name in enumerate(names):
        if name in faces.attribute_names:
            labels[:, column] = faces.attributes[:, faces.attribute_names.index(name)]
    return labels


def _autocast_wins(model: Model, batch: Tensor, step: Step) -> bool:
    """Times the forward and backward pass of every network in both precisions, on copies."""
    model = copy.deepcopy(model)
    x = images.to_float(batch).contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                losses = [loss for phase in model.phases(x, step) for loss in phase.values()]
            torch.stack(losses).sum().backward()
            times.append(time.perf_counter() - start)
        return min(times)

    return seconds(True) < 0.95 * seconds(False)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that the step under way is finished and saved."""
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received:  # asked twice: now
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {n: signal.signal(n, receive) for n in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: nobody sends signals there
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
