"""The use cases, with toy nets and a gallery file."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from app.compare import UPRIGHT
from app.ensemble import Ensemble, NetsDisagree
from app.gallery.errors import TemplatesMissing
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.identifier import Identifier
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion
from app.matching.maps import Signs, VeinMaps
from app.matching.similarity import probe_codes, similarities, template_codes
from app.palm.decode import ImageLimits, decode
from app.palm.roi import prepare
from tests.app.api.conftest import IDENTITIES, SHAPE, SIZE_PX, ToyNet
from tests.app.api.conftest import png as palm
from tests.app.palm.toy_net import reader_of_crops

LIMITS = ImageLimits()


def pixels_of(image: bytes) -> NDArray[np.uint8]:
    return prepare(decode(image, LIMITS), SIZE_PX)[np.newaxis]


def maps_of(net: ToyNet, *files: bytes) -> VeinMaps:
    return net.maps(np.concatenate([pixels_of(file) for file in files]))


def similarity(probe: VeinMaps, templates: VeinMaps) -> float:
    """Compares one map with the templates of one subject in plain steps."""
    codes = probe_codes(Signs.of(probe)), template_codes(Signs.of(templates))
    return float(similarities(*codes, SHAPE).max())


def calibration(temperature: float) -> Calibration:
    """Three images need more than one, and two probes less."""
    cases = [
        Case(False, 1, 1, temperature, (Threshold(0.6, 1e-1), Threshold(0.8, 1e-5))),
        Case(False, 3, 1, temperature, (Threshold(0.64, 1e-1), Threshold(0.84, 1e-5))),
        Case(False, 1, 2, temperature, (Threshold(0.5, 1e-1), Threshold(0.7, 1e-5))),
    ]
    return Calibration(tuple(cases))


def make_nets() -> list[ToyNet]:
    nets = [ToyNet("alexnet", 1), ToyNet("vgg16", 2)]
    for net, temperature in zip(nets, (0.05, 0.1), strict=True):
        net.calibration = calibration(temperature)
    return nets


def ensemble(nets: Sequence[ToyNet]) -> Ensemble:
    weights = (1.0,) if len(nets) == 1 else (0.75, 0.25)
    return Ensemble(tuple(nets), Fusion(weights, calibration(0.07)))


def make_identifier(
    gallery: Gallery,
    nets: Sequence[ToyNet] | None = None,
    fpir_target: float = 0.03,
    of: Ensemble | None = None,
) -> Identifier:
    gallery.seed_trained(IDENTITIES)
    return Identifier(
        of or ensemble(make_nets() if nets is None else nets),
        gallery,
        reader_of_crops(),
        fpir_target=fpir_target / UPRIGHT,  # so that upright crops are held to fpir_target
        fmr_target=1e-3 / UPRIGHT,
        quality_enroll=0,
        quality_probe=0,
    )


@pytest.fixture
def identifier(gallery: Gallery) -> Identifier:
    return make_identifier(gallery)


def test_identify_returns_no_match_for_a_palm_nobody_enrolled(identifier: Identifier) -> None:
    found = identifier.identify([palm(77)])

    assert found.decision == "no_match"
    assert found.identity is None
    assert found.confidence > 0.9
    assert len(found.candidates) == 3
    assert found.score == found.candidates[0].score < found.threshold.score
    assert {vote.decision for vote in found.nets} == {"no_match"}


def test_candidates_are_ranked_and_limited(identifier: Identifier) -> None:
    everybody = identifier.identify([palm(1)], candidates=9).candidates
    best = identifier.identify([palm(1)], candidates=2).candidates

    similarities = [c.score for c in everybody]
    assert len(everybody) == 3
    assert similarities == sorted(similarities, reverse=True)
    assert [c.subject_id for c in best] == [c.subject_id for c in everybody[:2]]


def test_the_threshold_grows_with_the_gallery(identifier: Identifier, gallery: Gallery) -> None:
    alone = identifier.identify([palm(1)]).threshold
    templates = {net.format: net.trained.maps[:1] for net in make_nets()}
    for i in range(7):
        gallery.enroll(f"e{i}", None, None, templates, add=False)

    crowded = identifier.identify([palm(1)]).threshold

    assert alone.fmr == pytest.approx(0.03 / 3)
    assert alone.score == pytest.approx(0.65)  # a quarter of the way from 1e-1 to 1e-5
    assert crowded.fmr == pytest.approx(0.03 / 10)
    assert crowded.score > alone.score


def test_the_answer_is_the_fusion_of_the_votes(identifier: Identifier) -> None:
    found = identifier.identify([palm(1)])
    first, second = found.nets

    assert first.score is not None
    assert second.score is not None
    assert found.score == pytest.approx(0.75 * first.score + 0.25 * second.score)
    assert found.confidence == found.candidates[0].confidence


def test_a_probe_of_several_images_is_the_mean_of_their_scores(gallery: Gallery) -> None:
    net = make_nets()[0]
    images = [palm(1, 1), palm(1, 2), palm(1, 3)]

    found = make_identifier(gallery, [net]).identify(images)

    own = net.trained.maps[:1]
    mean = np.mean([similarity(maps_of(net, image), own) for image in images])
    assert found.score == pytest.approx(mean)
    assert len(found.quality) == 3
    assert found.threshold.score == pytest.approx(0.55)  # of two probes, at an FMR of 1e-2


def test_more_enrolled_images_need_a_higher_score(identifier: Identifier) -> None:
    images = [palm(77, shot) for shot in range(3)]
    identifier.enroller.enroll("eve", None, None, images, add=False)

    one, three = (identifier.verify(subject, [palm(77)]) for subject in ("p001", "eve"))

    assert three.decision == "match"
    assert three.score == 1  # that of the best of the three
    assert three.threshold.score == pytest.approx(one.threshold.score + 0.04)


def test_two_subjects_of_one_palm_are_inconclusive(
    identifier: Identifier, gallery: Gallery
) -> None:
    templates = {net.format: net.trained.maps[:1] for net in make_nets()}
    gallery.enroll("copy", None, None, templates, add=False)

    found = identifier.identify([palm(1)])

    assert found.decision == "inconclusive"
    assert found.identity is None
    assert found.confidence == found.candidates[0].confidence < 0.5
    assert {c.subject_id for c in found.candidates[:2]} == {"p001", "copy"}


def test_among_nobody_the_answer_is_nobody(gallery: Gallery) -> None:
    identifier = make_identifier(gallery)
    for identity in IDENTITIES:
        gallery.delete(identity)

    found = identifier.identify([palm(1)])

    assert found.decision == "no_match"
    assert found.confidence == 1
    assert found.score is None
    assert found.candidates == []
    assert {(v.subject_id, v.score) for v in found.nets} == {(None, None)}


def test_answers_show_a_name_changed_meanwhile(identifier: Identifier, gallery: Gallery) -> None:
    identifier.identify([palm(1)])
    gallery.update("p001", {"name": "Ann"})

    subject = identifier.identify([palm(1)]).identity

    assert subject is not None
    assert subject.name == "Ann"


def test_a_subject_unknown_to_one_net_is_not_compared(
    identifier: Identifier, gallery: Gallery
) -> None:
    net = make_nets()[0]
    gallery.enroll("eve", None, None, {net.format: maps_of(net, palm(77))}, add=False)

    assert identifier.identify([palm(77)]).decision == "no_match"
    with pytest.raises(TemplatesMissing, match=r"'eve'.*add=true"):
        identifier.verify("eve", [palm(77)])


def test_verify_accepts_the_claimed_palm(identifier: Identifier) -> None:
    found = identifier.verify("p001", [palm(1)])

    assert found.decision == "match"
    assert found.identity.subject_id == "p001"
    assert found.threshold.fmr == pytest.approx(1e-3)
    assert found.threshold.score == pytest.approx(0.7)
    margin = (found.score - 0.7) / 0.07
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-margin)), rel=1e-4)


@pytest.mark.parametrize("other", [palm(2), palm(77)], ids=["another subject", "a stranger"])
def test_verify_refuses_another_palm(identifier: Identifier, other: bytes) -> None:
    found = identifier.verify("p001", [other])

    assert found.decision == "no_match"
    assert found.score < found.threshold.score
    assert {vote.subject_id for vote in found.nets} == {"p001"}


def test_enroll_stores_the_maps_of_each_net(identifier: Identifier, gallery: Gallery) -> None:
    identifier.enroller.enroll("eve", "Eve", "right", [palm(77, 1), palm(77, 2)], add=False)

    subject = gallery.subject("eve")
    assert (subject.name, subject.hand) == ("Eve", "right")
    nets = make_nets()
    changes = gallery.changes(START, [net.format for net in nets], limit=10)
    owner = [one.subject_id for one in changes.subjects].index("eve")
    for net, stored in zip(nets, changes.maps, strict=True):
        own = [m for i, m in zip(stored.owners, stored.maps, strict=True) if i == owner]
        assert own == maps_of(net, palm(77, 1), palm(77, 2)).to_bytes()


def test_no_images_at_all_are_refused(identifier: Identifier) -> None:
    with pytest.raises(ValueError, match="no image is given"):
        identifier.identify([])


def test_every_answer_says_how_long_each_step_took(identifier: Identifier) -> None:
    timings = identifier.identify([palm(1)]).timings_ms

    assert set(timings) == {"decode", "find", "nets", "search", "total"}
    steps = sum(timings[step] for step in ("decode", "find", "nets", "search"))
    assert timings["total"] == pytest.approx(steps, abs=0.01)
    verified = identifier.verify("p001", [palm(1)]).timings_ms
    assert set(verified) == {"gallery", "decode", "find", "nets", "search", "total"}


def test_threads_get_the_same_answers_as_one_caller(gallery: Gallery) -> None:
    identifier = make_identifier(gallery)
    expected = {person: identifier.identify([palm(person)]).score for person in (1, 2, 3)}

    def work(turn: int) -> bool:
        person = 1 + turn % 3
        if turn % 5 == 0:
            identifier.enroller.enroll(f"e{turn}", None, None, [palm(100 + turn)], add=False)
        return identifier.identify([palm(person)]).score == pytest.approx(expected[person])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(60)))
    assert identifier.identify([palm(105, 1)]).candidates[0].subject_id == "e5"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("identities", ("p001", "p002", "x"), "vgg16/1 and alexnet/1"),
        ("input_px", 64, "vgg16/1 takes 64 px, alexnet/1 32 px"),
    ],
)
def test_nets_that_differ_cannot_vote_together(field: str, value: object, message: str) -> None:
    nets = make_nets()
    setattr(nets[1], field, value)

    with pytest.raises(NetsDisagree, match=message):
        ensemble(nets)


def test_from_20_subjects_on_thresholds_count_deviations_of_the_site_s_impostors(
    gallery: Gallery,
) -> None:
    net = ToyNet("vgg16", 2)
    with_mean_map = Case(True, 1, 1, 2.0, (Threshold(3.0, 1e-1), Threshold(7.0, 1e-5)))
    cases = Calibration((*calibration(0.1).cases, with_mean_map))

    def start() -> Identifier:
        both = Ensemble((net,), Fusion((1.0,), cases))
        return make_identifier(gallery, of=both)

    first = start()
    for seed in range(50, 70):
        mean_map = first.describe_gallery().mean_map
        assert (mean_map.subjects, mean_map.impostors) == (0, None)
        first.enroller.enroll(f"s{seed}", None, None, [palm(seed)], add=False)
    first.close()

    identifier = start()
    mean_map = identifier.describe_gallery().mean_map
    assert mean_map.subjects == 20
    site = mean_map.impostors
    assert site is not None
    found = identifier.verify("s50", [palm(50, 1)])
    assert found.threshold.score == pytest.approx(site.mean + 5 * site.deviation)
    margin = (found.score - found.threshold.score) / (2 * site.deviation)
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-margin)))
