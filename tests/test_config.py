import dataclasses

import pytest

from vaegan.config import PRESETS, ConfigError, ModelConfig, TrainConfig, at_resolution


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
    with pytest.raises(ConfigError, match="encoder_widths cannot be"):
        ModelConfig.from_dict({**good, "encoder_widths": [32, "64"]})


def test_json_writes_whole_floats_as_integers():
    assert TrainConfig.from_dict({**TrainConfig().to_dict(), "gamma": 1}).gamma == 1.0


def test_impossible_configs_are_refused():
    for change in ({"model": "diffusion"}, {"resolution": 100}, {"feature_layers": (9,)}):
        with pytest.raises(ConfigError):
            dataclasses.replace(ModelConfig(), **change)
    for change in ({"batch_size": 1}, {"steps": 0}, {"optimizer": "sgd"}):
        with pytest.raises(ConfigError):
            dataclasses.replace(TrainConfig(), **change)


def test_other_resolutions_change_the_layers_at_the_picture():
    config = ModelConfig()
    larger, smaller = at_resolution(config, 128), at_resolution(config, 32)
    assert larger.encoder_widths == (16, *config.encoder_widths)
    assert smaller.decoder_widths == config.decoder_widths[1:]
    assert larger.feature_layers == (2, 3, 4)
    assert at_resolution(config, 64) is config
