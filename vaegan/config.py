"""Frozen configurations: what a model is, and how it is trained.

`ModelConfig` alone rebuilds the networks of a snapshot; `TrainConfig` says what a run does to
them. Both travel as JSON and are read back strictly: an unknown or missing key is an error, so a
file written by another version is noticed instead of being half understood.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Self, get_args, get_type_hints

from vaegan.errors import UserError

MODELS = ("autoencoder", "vae", "gan", "vaegan")
RESOLUTIONS = (32, 64, 128)  # 32 is there for quick tries and tests
# Far beyond what is of any use: a config may come from anywhere, and memory is finite.
WIDEST = 16_384  # numbers in a latent, units or channels in a layer
LARGEST_KERNEL = 31  # pixels a side
LARGEST_LAYER = 1 << 22  # numbers that a layer gives for one picture: 16 MB
LARGEST_NUMBER = 1e9  # of all others, but for a seed
SHOWN = 60  # characters of a value that is wrong


class ConfigError(UserError):
    """A configuration that cannot be used, said in one sentence."""


@dataclass(frozen=True)
class _Config:
    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: tuples become lists."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a key is unknown or missing, or a value has another type.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise ConfigError(f"{cls.__name__} does not know {', '.join(unknown)[:SHOWN]}.")
        if missing := sorted(set(fields) - set(values)):
            raise ConfigError(f"{cls.__name__} lacks {', '.join(missing)}.")
        return cls(**{key: _typed(cls, fields[key], value) for key, value in values.items()})


def _typed(config: type[_Config], field: dataclasses.Field, value: Any) -> Any:
    """`value` in the type of the field's default; JSON knows no tuples and writes 1.0 as 1."""
    default = field.default
    if isinstance(default, tuple) and isinstance(value, list):
        kind = get_args(get_type_hints(config)[field.name])[0]  # of tuple[kind, ...]
        if all(type(item) is kind for item in value):
            return tuple(value)
    elif isinstance(default, float) and type(value) in (int, float):
        if abs(value) <= LARGEST_NUMBER:  # false for NaN
            return float(value)
    elif type(value) is type(default):
        return value
    raise ConfigError(f"{config.__name__}.{field.name} cannot be {repr(value)[:SHOWN]}.")


@dataclass(frozen=True)
class ModelConfig(_Config):
    """The networks' shapes. Widths are channels, from the picture inwards to the latent."""

    model: str = "vaegan"
    resolution: int = 64
    latent_dim: int = 256
    eigenface_side: int = 32  # of the pictures that linear paths see; 0: no such paths
    attributes: tuple[str, ...] = ()  # that the discriminator names and the decoder edits

    encoder_widths: tuple[int, ...] = (32, 64, 160, 320)
    encoder_kernels: tuple[int, ...] = (5, 4, 4, 4)
    encoder_hidden: int = 768

    decoder_widths: tuple[int, ...] = (256, 192, 96, 64)
    decoder_upsampling: str = "shuffle"  # "shuffle" (3×3, pixel shuffle) | "transposed" (5×5)

    discriminator_stem: int = 0  # channels of a stride-1 convolution before the strided ones
    discriminator_widths: tuple[int, ...] = (32, 64, 128, 256)
    discriminator_kernel: int = 4
    discriminator_hidden: int = 0  # width of a fully connected layer before the score
    discriminator_batch_norm: bool = False
    discriminator_spectral_norm: bool = True
    minibatch_deviation: bool = True
    feature_layers: tuple[int, ...] = (1, 2, 3)  # which strided convolutions feed Dis_l

    batch_norm: bool = True  # in encoder and decoder
    slope: float = 0.1  # of the leaky ReLU; 0 is the plain one

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(f"The model is one of {', '.join(MODELS)}, not {self.model!r}.")
        if self.resolution not in RESOLUTIONS:
            raise ConfigError(f"The resolution is 32, 64 or 128 pixels, not {self.resolution}.")
        if len(self.encoder_kernels) != len(self.encoder_widths):
            raise ConfigError("Every encoder convolution needs one width and one kernel size.")
        if self.eigenface_side and self.resolution % self.eigenface_side:
            raise ConfigError("The pictures' side is not a multiple of the eigenfaces'.")
        if self.decoder_upsampling not in ("shuffle", "transposed"):
            raise ConfigError(f"The decoder cannot upsample by {self.decoder_upsampling!r}.")
        if not all(0 <= layer < len(self.discriminator_widths) for layer in self.feature_layers):
            raise ConfigError("The feature loss names a discriminator layer that is not there.")
        if not 0 <= self.slope <= 1:
            raise ConfigError(f"slope lies between 0 and 1, not at {self.slope}.")
        self._check_sizes()
        if self.model == "vaegan" and not self.feature_layers:
            raise ConfigError("A VAE-GAN compares features, so feature_layers cannot be empty.")

    def _check_sizes(self) -> None:
        """Refuses sizes that no network can have, or that nobody can mean."""
        halvings = self.resolution.bit_length() - 1  # until one pixel is left
        transposed = self.decoder_upsampling == "transposed"  # its last layer doubles nothing
        bounds = {
            "latent_dim": (1, WIDEST),
            "eigenface_side": (0, self.resolution),
            "encoder_widths": (1, WIDEST),
            "encoder_kernels": (1, LARGEST_KERNEL),
            "encoder_hidden": (1, WIDEST),
            "decoder_widths": (1, WIDEST),
            "discriminator_stem": (0, WIDEST),
            "discriminator_widths": (1, WIDEST),
            "discriminator_kernel": (1, LARGEST_KERNEL),
            "discriminator_hidden": (0, WIDEST),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            sizes = value if isinstance(value, tuple) else (value,)
            layers = halvings + (transposed and name == "decoder_widths")
            if not 1 <= len(sizes) <= layers:
                raise ConfigError(f"{name} lists between 1 and {layers} sizes, not {len(sizes)}.")
            for size in sizes:
                if not least <= size <= most:
                    raise ConfigError(f"{name} lies between {least} and {most}, not at {size}.")
        for name, numbers in self._layer_sizes().items():
            if max(numbers) > LARGEST_LAYER:
                raise ConfigError(f"{name} asks for more than {LARGEST_LAYER:,} numbers a picture.")

    def _layer_sizes(self) -> dict[str, list[int]]:
        """How many numbers the convolutions give for one picture, by the field that says so."""
        side, doublings = self.resolution, len(self.decoder_widths)
        if self.decoder_upsampling == "transposed":
            doublings -= 1
        inwards = {
            name: [width * (side >> layer) ** 2 for layer, width in enumerate(widths, 1)]
            for name, widths in (
                ("encoder_widths", self.encoder_widths),
                ("discriminator_widths", self.discriminator_widths),
            )
        }
        outwards = [
            width * (side >> doublings << layer) ** 2
            for layer, width in enumerate(self.decoder_widths)
        ]
        stem = [self.discriminator_stem * side**2]
        return inwards | {"decoder_widths": outwards, "discriminator_stem": stem}


@dataclass(frozen=True)
class TrainConfig(_Config):
    """One run. Weights multiply losses that are means over the batch (see `vaegan.losses`)."""

    seed: int = 0
    batch_size: int = 64
    steps: int = 100_000

    precision: str = "auto"  # "float32" | "bfloat16" | "auto": whichever is faster here
    optimizer: str = "adamw"  # "adamw" | "rmsprop"
    learning_rate: float = 3e-4
    beta1: float = 0.5
    beta2: float = 0.99
    decay_start: float = 0.5  # share of the steps after which the rate falls (cosine) …
    decay_floor: float = 0.05  # … to this share of itself at the last step
    clip_norm: float = 10.0  # 0: no clipping
    ema_decay: float = 0.999

    pixel_weight: float = 8.0
    feature_weight: float = 4.0
    feature_norm: str = "relative"  # "relative" (L1 over its own mean) | "gaussian" (the paper's)
    adversarial_weight: float = 0.4
    adversarial: str = "hinge"  # "hinge" | "bce"
    adversary_start: int = 2000  # steps as a plain VAE before the discriminator joins
    kl_weight: float = 0.001
    kl_warmup: int = 0  # steps over which the KL's weight rises from 0
    gamma: float = 1.0  # of the reconstruction in the decoder's loss (the paper's γ)
    prior_samples: float = 0.5  # prior samples x_hat per photograph; 0 leaves them out
    prior: str = "standard"  # of x_hat: "standard" (N(0, I)) | "aggregate" (where the latents lie)
    equilibrium_margin: float = 0.0  # the paper's gate 0.68 ± 0.35; 0 leaves it out
    attribute_weight: float = 2.0  # of naming attributes, where the model has any
    likeness_weight: float = 0.5  # of a reconstruction being named like its photograph
    edit_weight: float = 1.0  # of edits doing what they say and nothing else
    edits: float = 0.5  # edited reconstructions per photograph; 0 leaves them out

    flip: bool = True
    augment: bool = True  # DiffAugment (colour, translation) before the discriminator

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "rmsprop"):
            raise ConfigError(f"The optimizer is adamw or rmsprop, not {self.optimizer!r}.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ConfigError(
                f"The precision is auto, float32 or bfloat16, not {self.precision!r}."
            )
        if self.adversarial not in ("hinge", "bce"):
            raise ConfigError(f"The adversarial loss is hinge or bce, not {self.adversarial!r}.")
        if self.feature_norm not in ("relative", "gaussian"):
            raise ConfigError(f"The feature loss is not {self.feature_norm!r}.")
        if self.prior not in ("aggregate", "standard"):
            raise ConfigError(f"The prior is standard or aggregate, not {self.prior!r}.")
        if self.batch_size < 2 or self.steps < 1:
            raise ConfigError("A run needs a batch of at least 2 and at least one step.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"A seed lies between 0 and 2^32, not at {self.seed}.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 0 and below 1, not {getattr(self, name)}.")
        for name in ("ema_decay", "decay_start", "decay_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} lies between 0 and 1, not at {getattr(self, name)}.")
        if not 0 <= self.edits <= 1:
            raise ConfigError(f"Edits are a share of the photographs, 0 to 1, not {self.edits}.")
        for name, value in self.to_dict().items():
            if not isinstance(value, int | float):
                continue
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} is finite and not below 0, as {value} is not.")
            if name != "seed" and value > LARGEST_NUMBER:
                raise ConfigError(f"{name} is at most {LARGEST_NUMBER:g}.")


LARGE_MODEL = ModelConfig(
    encoder_widths=(48, 96, 192, 320),
    encoder_hidden=512,
    decoder_widths=(320, 224, 128, 96),
    discriminator_widths=(64, 128, 256, 512),
)
LARGE_TRAIN = TrainConfig(
    batch_size=128,
    steps=17_000,
    adversarial_weight=0.5,
    prior="aggregate",
)
LARSEN_2016_MODEL = ModelConfig(
    latent_dim=128,
    eigenface_side=0,
    encoder_widths=(64, 128, 256),
    encoder_kernels=(5, 5, 5),
    encoder_hidden=2048,
    decoder_widths=(256, 256, 128, 32),
    decoder_upsampling="transposed",
    discriminator_stem=32,
    discriminator_widths=(128, 256, 256),
    discriminator_kernel=5,
    discriminator_hidden=512,
    discriminator_batch_norm=True,
    discriminator_spectral_norm=False,
    minibatch_deviation=False,
    feature_layers=(2,),
    slope=0.0,
)
LARSEN_2016_TRAIN = TrainConfig(
    optimizer="rmsprop",
    learning_rate=3e-4,
    decay_start=1.0,
    clip_norm=0.0,
    pixel_weight=0.0,
    feature_weight=1.0,
    feature_norm="gaussian",
    adversarial_weight=1.0,
    adversarial="bce",
    adversary_start=0,
    kl_weight=1.0,
    kl_warmup=0,
    attribute_weight=0.0,
    likeness_weight=0.0,
    edits=0.0,
    gamma=1e-6,
    prior_samples=1.0,
    equilibrium_margin=0.35,
    augment=False,
)


def with_settings(
    model: ModelConfig, training: TrainConfig, settings: list[str]
) -> tuple[ModelConfig, TrainConfig]:
    """Both configurations with `NAME=VALUE` settings of any of their fields.

    Numbers and true or false are written as in JSON; several numbers are parted by commas.

    Raises:
        ConfigError: no such field, or not a value of its kind.
    """
    configs = [model, training]
    for setting in settings:
        name, equals, text = setting.partition("=")
        places = [i for i, config in enumerate(configs) if name in config.to_dict()]
        if not (equals and places):
            raise ConfigError(f"{setting!r} is not the NAME=VALUE of any field.")
        values = configs[places[0]].to_dict()
        listed = isinstance(values[name], list)
        try:
            value = json.loads(f"[{text}]" if listed else text)
        except (ValueError, RecursionError):  # also of numbers that are too long
            value = text
        configs[places[0]] = type(configs[places[0]]).from_dict(values | {name: value})
    return configs[0], configs[1]


PRESETS: dict[str, tuple[ModelConfig, TrainConfig]] = {
    "default": (ModelConfig(), TrainConfig()),
    "large": (LARGE_MODEL, LARGE_TRAIN),  # for a GPU; of the bundled model
    "larsen2016": (LARSEN_2016_MODEL, LARSEN_2016_TRAIN),
}


def at_resolution(config: ModelConfig, resolution: int) -> ModelConfig:
    """The 64-pixel `config` with one layer more (128) or fewer (32) at the picture's end."""
    if resolution == config.resolution:
        return config
    encoder, kernels = config.encoder_widths, config.encoder_kernels
    decoder, discriminator = config.decoder_widths, config.discriminator_widths
    if resolution > config.resolution:
        encoder, kernels = (encoder[0] // 2, *encoder), (kernels[0], *kernels)
        decoder = (*decoder, decoder[-1] // 2)
        discriminator = (discriminator[0] // 2, *discriminator)
    else:
        encoder, kernels = encoder[1:], kernels[1:]
        decoder, discriminator = decoder[1:], discriminator[1:]
    shift = len(discriminator) - len(config.discriminator_widths)
    return dataclasses.replace(
        config,
        resolution=resolution,
        encoder_widths=encoder,
        encoder_kernels=kernels,
        decoder_widths=decoder,
        discriminator_widths=discriminator,
        feature_layers=tuple(max(0, layer + shift) for layer in config.feature_layers),
    )
