"""Is an edited face still the same person? dlib's face descriptor says."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan import align, images
from vaegan.editor import Editor
from vaegan.leakage import Known
from vaegan.metrics import mean, nearest_own

PEOPLE = 100  # among whom an edited face must find itself
STRENGTH = 2.0
CHANGES_A_PERSON = "Age and gender"  # the sliders after which nobody need be recognised
SIDE = 256  # pixels; dlib's landmarks are whole ones, so not too few


def embed(x: Tensor) -> Tensor:
    """dlib's face descriptors, (N, 128): of one person within about 0.6 of each other.

    x: (N, 3, R, R) in [-1, 1], aligned faces.
    """
    import dlib  # here alone, since nothing else of this file needs it

    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    network = dlib.face_recognition_model_v1(
        str(folder / "models" / "dlib_face_recognition_resnet_model_v1.dat")
    )
    # The faces are aligned already: their landmarks lie where alignment has put them.
    places = (align.CANONICAL * SIDE - 0.5).round().astype(int).tolist()
    shape = dlib.full_object_detection(
        dlib.rectangle(0, 0, SIDE - 1, SIDE - 1),
        [dlib.point(*place) for place in places],
    )
    large = F.interpolate(x, (SIDE,) * 2, mode="bicubic")
    pixels = images.to_uint8(large).permute(0, 2, 3, 1).contiguous().numpy()
    return torch.tensor([list(network.compute_face_descriptor(face, shape)) for face in pixels])


def identity(editor: Editor, known: Known, seed: int = 0) -> dict[str, Any]:
    """Among PEOPLE reconstructions of as many people, does an edit find its own?"""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(known.people), generator=generator).tolist()
    one_each = {int(known.people[row]): row for row in rows}
    chosen = torch.tensor(list(one_each.values())[:PEOPLE])
    x, z, r, people = known.x[chosen], known.z[chosen], known.r[chosen], known.people[chosen]
    photographs, originals = embed(x), embed(r)
    own = {}
    for slider in editor.attributes:
        edited = editor.decode(z + editor.direction(z, {slider.name: STRENGTH}))
        own[slider.name] = nearest_own(embed(edited), originals).float()
    report: dict[str, Any] = {
        "among": len(chosen),
        "strength": STRENGTH,
        # Among the photographs: how much of the person the model keeps in the first place.
        "reconstruction": mean(nearest_own(originals, photographs).float(), people),
        "attributes": {name: mean(found, people) for name, found in own.items()},
    }
    if own:
        report["average"] = mean(torch.stack(list(own.values())).mean(dim=0), people)
    same = [own[slider.name] for slider in editor.attributes if slider.group != CHANGES_A_PERSON]
    if same:
        report["recognisable"] = mean(torch.stack(same).mean(dim=0), people)
    return report
