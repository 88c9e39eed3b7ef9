"""What a person set for a face: sliders, what to hold, how to paste. It can be kept as JSON.

Settings know no face and no model: the same ones can be applied to any.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from vaegan.align import SOFTNESS
from vaegan.blend import DETAIL
from vaegan.errors import UserError

FORMAT = 1
LARGEST = 1e6  # of any number here; sliders end at 3
KEYS = {"format", "sliders", "hold", "detail", "softness"}


class SettingsError(UserError):
    """Settings that cannot be used, said in one sentence."""


@dataclass(frozen=True)
class Settings:
    """An edit, to be applied to a face.

    sliders: {attribute: slider value}; those at 0 need not be named. An attribute is a key of the
        model's vectors, or a `custom.OwnAttribute`, which JSON cannot hold
    hold: attributes that are kept as they are while others change
    detail: how much of the photograph's texture stays, 0 to 1 (see `vaegan.blend`)
    softness: of the edge with which the face is pasted, 0 to 1

    Raises:
        SettingsError: a value is no finite number, or outside of its range.
    """

    sliders: dict[Any, float] = field(default_factory=dict)
    hold: tuple[str, ...] = ()
    detail: float = DETAIL
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        for name, value in self.sliders.items():
            _check(getattr(name, "name", name), value, -math.inf, math.inf)
        _check("detail", self.detail, 0, 1)
        _check("softness", self.softness, 0, 1)

    @property
    def idle(self) -> bool:
        """Whether no slider says anything."""
        return not any(self.sliders.values())

    def to_json(self) -> str:
        """A few lines that `from_json` and people can read."""
        described = {
            "format": FORMAT,
            "sliders": {name: value for name, value in self.sliders.items() if value},
            "hold": list(self.hold),
            "detail": self.detail,
            "softness": self.softness,
        }
        return json.dumps(described, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """Reads what `to_json` wrote.

        Raises:
            SettingsError: something else.
        """
        try:
            described: dict[str, Any] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError("This file holds no settings: it is not JSON.") from error
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise SettingsError("This file holds no settings of this program.")
        if unknown := sorted(described.keys() - KEYS):
            raise SettingsError(f"These settings say {unknown[0]!r}, which is not known here.")
        sliders, hold = described.get("sliders", {}), described.get("hold", [])
        if not isinstance(sliders, dict):
            raise SettingsError("These settings have no list of sliders.")
        if not isinstance(hold, list) or not all(isinstance(name, str) for name in hold):
            raise SettingsError("These settings do not say in names what to hold.")
        rest = {name: described[name] for name in ("detail", "softness") if name in described}
        return cls(sliders, tuple(hold), **rest)


def _check(name: str, value: object, low: float, high: float) -> None:
    # Compared, not math.isfinite, which fails on integers that no float can hold.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value != value:
        raise SettingsError(f"The setting of {name} is no number.")
    if not -LARGEST <= value <= LARGEST:
        raise SettingsError(f"The setting of {name} is too large.")
    if not low <= value <= high:
        raise SettingsError(f"The {name} lies between {low} and {high}, not at {value}.")
