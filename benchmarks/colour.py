"""Measures which channel, or mixture of channels, of a colour image shows veins best.

    python -m benchmarks.colour [--palms 100] [--seed 906] [--json PATH]

Drawn palms are coloured by published optics of skin and blood: in each channel the veins have the
contrast and the skin has the brightness of its wavelengths. Then come noise, which differs in each
channel, and JPEG. A rule makes a grey image of it. Its figure is the correlation of the details
as wide as veins, as `app.palm.quality` measures them, with those of the drawn veins.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.palm.finder import to_grey
from app.palm.roi import vein_channel
from training.report.files import write_text
from training.synthetic.anatomy import LAYERS
from training.synthetic.canvas import Layers
from training.synthetic.hands import palm_darkness
from training.synthetic.palms import draw_identity
from training.synthetic.styles import POLARIZED

EXTINCTION = {
    450: (62816, 103292), 460: (44480, 23389), 480: (26629, 14550),
    520: (24202, 31590), 540: (53236, 46592), 560: (32613, 53788),
    600: (3200, 14677), 620: (942, 6510), 640: (442, 4345),
    850: (1058, 691),
}  # fmt: skip
"""Molar extinction of haemoglobin with and without oxygen, per cm and mol/l, by nm: S. Prahl,
"Tabulated molar extinction coefficient for hemoglobin in water", omlc.org."""

CHANNELS = {"red": (600, 620, 640), "green": (520, 540, 560), "blue": (450, 460, 480)}
"""Wavelengths in nm at which the filters of a colour sensor pass most visible light."""

INFRARED = (850,)

OXYGEN = 0.7
"""Share of the haemoglobin in veins that carries oxygen."""

BLOOD_IN_SKIN = 0.01
MELANIN_MM = 0.002
"""Thickness of pure melanosomes that light crosses twice: 2 % of 0.1 mm, little as in a palm."""

VEINS_MM = {"shallow_veins": (1.5, 0.8), "deep_veins": (3.5, 0.8)}
"""Depth of a layer's veins, and the path through their blood: about the middle of those drawn."""

NOISE = 0.02
JPEG_QUALITY = 90

SCENES = {
    "white light, a camera with an infrared filter": ((1, 1, 1), (0, 0, 0)),
    "850 nm, without the filter": ((0, 0, 0), (1, 1, 1)),
    "850 nm and as much daylight": ((1, 1, 1), (1, 1, 1)),
    "850 nm, red passes most": ((0, 0, 0), (1, 0.6, 0.7)),
    "850 nm, saved in shades of green": ((0, 0, 0), (0.1, 1, 0.1)),
    "850 nm, saved in shades of blue": ((0, 0, 0), (0.1, 0.1, 1)),
}
"""How much visible and how much infrared light the channels red, green and blue get."""

Image = NDArray[np.uint8]
Float32 = NDArray[np.float32]

RULES: dict[str, Callable[[Image], Image]] = {
    "red": lambda image: np.ascontiguousarray(image[..., 0]),
    "green": lambda image: np.ascontiguousarray(image[..., 1]),
    "blue": lambda image: np.ascontiguousarray(image[..., 2]),
    "mean of the three": lambda image: image.mean(axis=2).astype(np.uint8),
    "luma": to_grey,
    "the service's": vein_channel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures which channel shows veins best.")
    parser.add_argument("--palms", type=int, default=100)
    parser.add_argument("--seed", type=int, default=906)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {s: {r: [] for r in RULES} for s in SCENES}
    for number in tqdm(range(options.palms), "palms"):
        palm = draw_identity(options.seed, number)
        truth = details(darkness(palm, INFRARED, options.seed + number, skin=False))
        for scene, light in SCENES.items():
            image = photograph(palm, light, options.seed + number)
            for name, rule in RULES.items():
                seen = -details(rule(image).astype(np.float32))
                found[scene][name].append(float(np.corrcoef(seen.ravel(), truth.ravel())[0, 1]))
    means = {s: {r: float(np.mean(v)) for r, v in row.items()} for s, row in found.items()}
    print(f"| {options.palms} palms, seed {options.seed} | " + " | ".join(RULES) + " |")
    print("|---" * (len(RULES) + 1) + "|")
    for scene, row in means.items():
        print(f"| {scene} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |")
    if options.json:
        write_text(options.json, json.dumps(means, indent=1) + "\n")


def blood_absorption(nm: int) -> float:
    """Returns the absorption coefficient of venous blood per mm, with 150 g/l of haemoglobin."""
    with_oxygen, without = EXTINCTION[nm]
    extinction = OXYGEN * with_oxygen + (1 - OXYGEN) * without
    return 2.303 * extinction * 150 / 66_500 / 10


def skin_attenuation(nm: int) -> tuple[float, float]:
    """Returns the absorption and the effective attenuation of skin per mm.

    Sources: baseline: S. L. Jacques, "Skin optics", omlc.org, 1998; scattering: the same, Phys.
    Med. Biol. 58 (2013), table 1; mu_eff of the diffusion approximation.
    """
    baseline = (0.244 + 85.3 * np.exp(-(nm - 154) / 66.2)) / 10
    absorption = baseline + BLOOD_IN_SKIN * blood_absorption(nm)
    scattering = 4.6 * (nm / 500) ** -1.421
    return absorption, float(np.sqrt(3 * absorption * (absorption + scattering)))


def vein_contrast(nm: int, depth_mm: float, path_mm: float) -> float:
    """Returns the contrast of a vein, 0 to 1, as `training.synthetic.anatomy` draws it."""
    absorbed = 1 - np.exp(-blood_absorption(nm) * path_mm)
    return float(absorbed * np.exp(-2 * skin_attenuation(nm)[1] * depth_mm))


def reflectance(nm: int) -> float:
    """Returns the share of light that skin gives back.

    exp(-7.8 mu_a / mu_eff) is the diffuse reflectance of a thick tissue (S. L. Jacques, "Diffuse
    reflectance from a semi-infinite medium", omlc.org, 1999), and 1.7e12 nm^-3.48 per cm the
    absorption of melanosomes (the same, "Melanosome absorption coefficient", 1998).
    """
    absorption, effective = skin_attenuation(nm)
    melanin = 1.7e12 * float(nm) ** -3.48 / 10
    return float(np.exp(-7.8 * absorption / effective - 2 * melanin * MELANIN_MM))


def darkness(
    palm: Layers, wavelengths: tuple[int, ...], seed: int, *, skin: bool = True
) -> Float32:
    """Returns how much darker than plain skin a palm is at wavelengths, float32 [P, P].

    Equal seeds give the same camera and session. Without `skin` only the veins are drawn.
    """
    coloured = palm.copy()
    for name, vein in VEINS_MM.items():
        seen = np.mean([vein_contrast(nm, *vein) for nm in wavelengths])
        ratio = float(seen) / vein_contrast(INFRARED[0], *vein)
        layer = LAYERS.index(name)
        coloured[layer] = np.clip(coloured[layer] * ratio, 0, 255).astype(np.uint8)
    dark = palm_darkness(coloured, np.random.default_rng(seed), POLARIZED)
    if skin:
        return dark
    for name in VEINS_MM:
        coloured[LAYERS.index(name)] = 0
    return dark - palm_darkness(coloured, np.random.default_rng(seed), POLARIZED)


def photograph(
    palm: Layers, light: tuple[tuple[float, ...], tuple[float, ...]], seed: int
) -> Image:
    """Photographs a palm in colour, so that its brightest channel is at 0.6 on average."""
    infrared = reflectance(INFRARED[0]) * (1 - darkness(palm, INFRARED, seed))
    channels = []
    for wavelengths, visible, invisible in zip(CHANNELS.values(), *light, strict=True):
        skin = float(np.mean([reflectance(nm) for nm in wavelengths]))
        seen = skin * (1 - darkness(palm, wavelengths, seed))
        channels.append(visible * seen + invisible * infrared)
    image = np.stack(channels, axis=-1)
    image *= 0.6 / image.mean(axis=(0, 1)).max()
    noise = np.random.default_rng([seed, 1]).standard_normal(image.shape)
    image += NOISE * (0.4 + np.sqrt(np.maximum(image, 0))) * noise
    levels = np.clip(255 * image, 0, 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[..., ::-1].copy()


def details(grey: Float32) -> Float32:
    """Returns the details as wide as veins, of a canvas with 2 px per mm."""
    fine, wide = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.1, 7.0))
    return np.asarray(fine - wide, np.float32)


if __name__ == "__main__":
    main()
