"""Exports a trained finder as models_store/finder/<version>/, which the service loads."""

from dataclasses import asdict, dataclass
from pathlib import Path

from app.nets.finder_manifest import FINDER
from training.finder.runs import read_run
from training.fit.options import require_at_least
from training.fit.verdict import Verdict
from training.versions.target import target_folder

CERTAINTY_SEED = 4_000_037
"""Seed of the hands that set the least certainty; neither training nor its monitor draws them."""


@dataclass(frozen=True, kw_only=True)
class ExportFinderConfig:
    """Exports a trained finder as a new version.

    Drawn hands that the training never used set the certainty below which the finder reports no
    hand, so that none of them is cut wrongly; it is at most 0.95. This command needs the TensorFlow
    backend.

    Attributes:
        run: folder of a run of `train-finder`.
        hands: number of drawn hands that set the least certainty, at least 1.
        store: the models store.
        version: number of the version, at least 1; by default one more than the highest.
    """

    run: Path
    hands: int = 1000
    store: Path = Path("models_store")
    version: int | None = None


def export_finder(config: ExportFinderConfig) -> Verdict:
    """Writes a version, whole or not at all.

    Raises:
        FileExistsError: if the version exists.
        ValueError: if `run` is no run of `train-finder`, an option is out of range, or a weight
            cannot be stored.
        training.versions.write.ExportMismatch: if the SavedModel differs from the trained net.
    """
    require_at_least(asdict(config), hands=1)
    settings = read_run(config.run, "--run")
    target = target_folder(config.store, FINDER, config.version)
    # Imported here, so that --help does not load TensorFlow.
    from training.finder.figures import draw_images, finder_of, golden_views, judge_hands, measure
    from training.finder.net import build_finder, fold_finder
    from training.fit.checkpoint import load_best
    from training.versions.finder import choose_certainty, write_finder
    from training.versions.templates import round_weights

    trained = build_finder(settings["side_px"])
    load_best(trained, config.run)
    net = fold_finder(trained)
    round_weights(net)
    images = draw_images(config.hands, CERTAINTY_SEED)
    trials = judge_hands(images, finder_of(net, 0.0))
    least = choose_certainty(trials)
    measured = measure(images, finder_of(net, least), trials)
    write_finder(
        target,
        net,
        golden_views(images, settings["side_px"]),
        least_certainty=least,
        measured=measured,
        training=settings,
    )
    return Verdict(
        target,
        f"below a certainty of {least:.2f} no hand is reported; of {config.hands:,} drawn hands "
        f"{1 - measured['certain']:.1%} are refused and {measured['wrong']:.2%} wrong; "
        f"{measured['within_3']:.1%} are within 3 % of the palm's width",
    )
