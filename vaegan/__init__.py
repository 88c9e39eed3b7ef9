"""A face latent editor: a VAE-GAN, its training, its attribute vectors and its editor."""

from importlib import import_module

_HOMES = {
    "Attribute": "editor",
    "AttributeVectors": "attributes",
    "BadImage": "images",
    "Detection": "align",
    "Editor": "editor",
    "Face": "face",
    "FaceNotFound": "editor",
    "ModelNotFound": "hub",
    "Settings": "settings",
    "SettingsError": "settings",
    "OwnAttribute": "custom",
    "SnapshotError": "checkpoint",
    "UserError": "errors",
    "VectorError": "attributes",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Loads a public name when it is asked for, so that `python -m vaegan.edit` loads it once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vaegan.{_HOMES[name]}"), name)
