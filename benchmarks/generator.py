"""Measures how fast synthetic palms are drawn and photographed, on one core.

    python -m benchmarks.generator [--palms 40] [--shots 24] [--json PATH]

The bare engine beside it is the least work of any such generator: one remap of a drawn canvas and
the sensor's JPEG. Processor time is measured, so other load on the machine changes little.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, IMAGE_PX
from training.synthetic.capture import shoot
from training.synthetic.palms import draw_identity
from training.synthetic.sessions import draw_session
from training.synthetic.styles import TRAINING


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast synthetic palms are drawn.")
    parser.add_argument("--palms", type=int, default=40, help="palms to draw")
    parser.add_argument("--shots", type=int, default=24, help="images of each")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    palms = [draw_identity(1, i) for i in range(options.palms)]
    palm_s = _processor_seconds(lambda i: draw_identity(1, i), options.palms)
    shot_s = _processor_seconds(
        lambda i: _photograph(palms[i % len(palms)], i), options.palms * options.shots
    )
    bare_s = _processor_seconds(_bare, 500)
    each_s = shot_s + palm_s / options.shots
    figures = {
        "machine": describe_machine(),
        "palm_ms": 1e3 * palm_s,
        "shot_ms": 1e3 * shot_s,
        "bare_ms": 1e3 * bare_s,
        "shots_of_a_palm": options.shots,
        "images_per_second": 1 / each_s,
        "times_bare": each_s / bare_s,
    }
    print(as_sentence(figures["machine"]))
    print(f"{IMAGE_PX} px, one core, {options.shots} images of a palm, each of another session\n")
    print("| | ms | images/s |\n|---|---|---|")
    print(f"| a palm's layers, once | {1e3 * palm_s:.2f} | |")
    print(f"| a session and a shot | {1e3 * shot_s:.2f} | {1 / shot_s:.0f} |")
    print(f"| an image, in all | {1e3 * each_s:.2f} | **{1 / each_s:.0f}** |")
    print(f"| bare: remap and JPEG | {1e3 * bare_s:.2f} | {1 / bare_s:.0f} |")
    print(f"\nAn image takes {each_s / bare_s:.1f} times the bare engine's time.")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=1) + "\n")


def _processor_seconds(run: Callable[[int], object], count: int) -> float:
    """Returns the mean of `count` calls after a warm-up."""
    run(0)
    start = time.process_time()
    for i in tqdm(range(count), "images", delay=1):
        run(i)
    return (time.process_time() - start) / count


def _photograph(palm: np.ndarray, number: int) -> np.ndarray:
    rng = np.random.default_rng([2, number])
    return shoot(palm, draw_session(rng, TRAINING, draw_camera(rng, TRAINING)), rng, TRAINING)


_CANVAS = np.random.default_rng(0).random((CANVAS_PX, CANVAS_PX), np.float32)
_X, _Y = np.meshgrid(*[np.linspace(20, 150, IMAGE_PX, dtype=np.float32)] * 2)


def _bare(number: int) -> np.ndarray:
    moved = cv2.remap(_CANVAS, _X + number % 7, _Y, cv2.INTER_LINEAR)
    _, jpeg = cv2.imencode(".jpg", (255 * moved).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 70])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE))


if __name__ == "__main__":
    main()
