import dataclasses
import math

import pytest

from vaegan.config import (
    LARGEST_KERNEL,
    LARGEST_NUMBER,
    PRESETS,
    WIDEST,
    ConfigError,
    ModelConfig,
    TrainConfig,
    at_resolution,
)


@pytest.mark.parametrize("preset", PRESETS)
def test_configs_survive_json(preset):
    import json

    for config in PRESETS[preset]:
        assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_missing_and_wrong_keys_are_errors():
    good = ModelConfig().to_dict()
    with pytest.raises(ConfigError, match="does not know colour"):
        ModelConfig.from_dict({**good, "colour": 1})
    with pytest.raises(ConfigError, match="lacks latent_dim"):
        ModelConfig.from_dict({k: v for k, v in good.items() if k != "latent_dim"})
    for wrong in ("256", 256.0, None, True):
        with pytest.raises(ConfigError, match="latent_dim cannot be"):
            ModelConfig.from_dict({**good, "latent_dim": wrong})
    for wrong in ([32, "64"], ["32", "64", "160", "320"]):
        with pytest.raises(ConfigError, match="encoder_widths cannot be"):
            ModelConfig.from_dict({**good, "encoder_widths": wrong})
    with pytest.raises(ConfigError, match="attributes cannot be"):
        ModelConfig.from_dict({**good, "attributes": [1]})


def test_json_writes_whole_floats_as_integers():
    assert TrainConfig.from_dict({**TrainConfig().to_dict(), "gamma": 1}).gamma == 1.0


def test_impossible_configs_are_refused():
    for change in ({"model": "diffusion"}, {"resolution": 100}, {"feature_layers": (9,)}):
        with pytest.raises(ConfigError):
            dataclasses.replace(ModelConfig(), **change)
    for change in (
        {"batch_size": 1},
        {"steps": 0},
        {"optimizer": "sgd"},
        {"seed": 2**32},
        {"ema_decay": math.nan},
        {"decay_floor": 1.1},
        {"learning_rate": math.inf},
        {"beta1": 1.0},
        {"beta2": 1.0},
    ):
        with pytest.raises(ConfigError):
            dataclasses.replace(TrainConfig(), **change)
    for name, values in {
        "edits": (-0.1, 1.1, math.nan),
        "prior_samples": (-0.1, math.inf, math.nan),
    }.items():
        for value in values:
            with pytest.raises(ConfigError, match=name.partition("_")[2] or "Edits"):
                dataclasses.replace(TrainConfig(), **{name: value})
    dataclasses.replace(TrainConfig(), edits=1.0, prior_samples=2.0)


NUMBERS = [name for name, value in TrainConfig().to_dict().items() if type(value) in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_of_a_run_is_negative(name):
    values = TrainConfig().to_dict()
    with pytest.raises(ConfigError) as error:
        TrainConfig.from_dict({**values, name: -type(values[name])(1)})
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("name", ["clip_norm", "pixel_weight", "gamma", "equilibrium_margin"])
def test_a_weight_or_bound_is_named_that_no_run_can_have(name):
    for value in (-1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match=f"{name} is finite and not below 0, as {value} is"):
            dataclasses.replace(TrainConfig(), **{name: value})
    dataclasses.replace(TrainConfig(), **{name: 0.0})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_run_takes_no_number_that_its_checkpoint_could_not_hold(name):
    kind = type(getattr(TrainConfig(), name))
    for value in (5 * LARGEST_NUMBER, 10**300):  # and a seed ends at 2^32
        with pytest.raises(ConfigError, match=f"(?i){name}"):
            dataclasses.replace(TrainConfig(), **{name: kind(value)})


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "kl_weight", "prior_samples"])
def test_the_largest_number_of_a_run_comes_back(name):
    config = dataclasses.replace(TrainConfig(), **{name: LARGEST_NUMBER})
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_only_a_vae_gan_needs_features_to_compare():
    with pytest.raises(ConfigError, match="feature_layers cannot be empty"):
        dataclasses.replace(ModelConfig(), feature_layers=())
    for model in ("autoencoder", "vae", "gan"):
        dataclasses.replace(ModelConfig(), model=model, feature_layers=())


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": 0},
        {"latent_dim": -1},
        {"latent_dim": WIDEST + 1},
        {"eigenface_side": -32},
        {"encoder_widths": (), "encoder_kernels": ()},
        {"encoder_widths": (1,) * 7, "encoder_kernels": (1,) * 7},
        {"encoder_widths": (32, 0, 160, 320)},
        {"encoder_kernels": (5, 4, 4, LARGEST_KERNEL + 1)},
        {"encoder_hidden": 0},
        {"decoder_widths": ()},
        {"decoder_widths": (1,) * 7},
        {"decoder_widths": (1,) * 8, "decoder_upsampling": "transposed"},
        {"decoder_widths": (10**30,)},
        {"decoder_widths": (1, 1, 1, 4097)},
        {"decoder_widths": (1,) * 6 + (1025,), "decoder_upsampling": "transposed"},
        {"discriminator_stem": 1025},
        {"slope": -0.1},
        {"slope": 1e308},
        {"slope": math.nan},
        {"discriminator_widths": (), "feature_layers": ()},
        {"discriminator_widths": (-1,) * 4},
        {"discriminator_kernel": -1},
        {"discriminator_stem": -1},
        {"discriminator_hidden": WIDEST + 1},
    ],
    ids=str,
)
def test_impossible_sizes_are_refused_by_name(change):
    with pytest.raises(ConfigError, match=next(iter(change))) as error:
        dataclasses.replace(ModelConfig(), **change)
    assert str(error.value).endswith(".")


def test_as_many_layers_as_there_are_halvings_are_allowed():
    dataclasses.replace(ModelConfig(), encoder_widths=(1,) * 6, encoder_kernels=(1,) * 6)
    dataclasses.replace(ModelConfig(), decoder_widths=(1,) * 7, decoder_upsampling="transposed")


def test_other_resolutions_change_the_layers_at_the_picture():
    config = ModelConfig()
    larger, smaller = at_resolution(config, 128), at_resolution(config, 32)
    assert larger.encoder_widths == (16, *config.encoder_widths)
    assert smaller.decoder_widths == config.decoder_widths[1:]
    assert larger.feature_layers == (2, 3, 4)
    assert at_resolution(config, 64) is config
