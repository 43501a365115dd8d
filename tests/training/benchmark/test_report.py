"""The page and the table of a benchmark: figures with their intervals, and words where none are."""

import re
from typing import Any

import pytest

from training.benchmark.plots import draw_det, draw_reliability
from training.benchmark.report import as_html, as_markdown
from training.benchmark.tables import (
    name_rate,
    tabulate_mean_map,
    tabulate_outside,
    tabulate_stated,
)
from training.report.chart import BLUE, GREEN, ORANGE

Report = dict[str, Any]


def rate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value / 2, "high": min(2 * value, 1), "count": 600,
            "subjects": 300, "rule_of_three": value in (0, 1)}  # fmt: skip


def counted(matches: int, *, exceeded: bool = False) -> dict[str, Any]:
    """Errors at a calibrated threshold."""
    return {"comparisons": 20_000, "matches": matches, "fmr": rate(matches / 20_000),
            "fnmr": rate(0.09), "exceeded": exceeded}  # fmt: skip


def make_map_matcher(name: str, *, mean_map: bool = True) -> dict[str, Any]:
    """A matcher of maps, with the rates without the mean map if one is subtracted."""
    fnmr = {"1e-2": rate(0.11), "1e-3": rate(0.12), "1e-4": None}
    stated = {"1e-3": counted(80, exceeded=True), "1e-4": None}
    return make_matcher(name) | {
        "stated": {"1e-2": counted(100), **stated, "1e-5": counted(0)},
        "mean_map": {
            "subtracted": mean_map,
            "without": {"eer": rate(0.1), "fnmr": fnmr} if mean_map else None,
            "outside": [{"enrolled": 0, "strangers": 300, "stated": stated},
                        {"enrolled": 20, "strangers": 280, "stated": stated}],
        },
    }  # fmt: skip


def make_matcher(name: str, *, calibrated: bool = True) -> dict[str, Any]:
    """A matcher with errors of every kind, of 300 identities with two probes each."""
    ece = rate(0.02)
    answers = {"enrolled": 150, "strangers_probes": 300, "inconclusive": 3}
    reliability = {"counts": [0, 60, 540], "confidence": [None, 0.5, 0.99],
                   "right": [None, 0.6, 0.98], "ece": ece, "answers": answers}  # fmt: skip
    return {
        "name": name,
        "made_of": f"{name}/1",
        "genuine_comparisons": 600,
        "impostor_comparisons": 179_400,
        "eer": rate(0.03),
        "fnmr": {"1e-2": rate(0.04), "1e-3": rate(0.05), "1e-4": rate(0.06)},
        "det": {"fmr": [1, 0.1, 0.01, 0], "fnmr": [0, 0.01, 0.1, 1]},
        "distributions": {"edges": [-1, 0, 1], "genuine": [0.1, 0.9], "impostors": [0.8, 0.2]},
        "rank_1": rate(0.97),
        "cmc": [0.97, 0.98, 1.0],
        "open_set": [
            {"size": 10, "stranger_probes": 580, "fnir": {"1e-2": rate(0.07), "1e-3": None}},
            {"size": 150, "stranger_probes": 300, "fnir": {"1e-2": rate(0.08), "1e-3": None}},
        ],
        "reliability": reliability if calibrated else None,
        "stated": None,
        "mean_map": None,
    }


def make_report(*matchers: dict[str, Any], **database: Any) -> Report:
    return {
        "created_at": "2026-01-31T12:00:00+00:00",
        "database": {
            "name": "VERA",
            "sha256": "0123456789abcdef",
            "classes": "palms",
            "size_px": 224,
            "identities": 300,
            "persons": 300,
            "persons_with_probes": 300,
            "sessions": 2,
            "images": 1200,
            "templates": 600,
            "probes": 600,
            "templates_of_an_identity": [2, 2],
            "templates_are": "each identity's first session",
            **database,
        },
        "comparison": {"templates": 6, "shift": 2, "unlike_service": ""},
        "sampling": {
            "seed": 1,
            "resamples": 500,
            "galleries_of_each_size": 5,
            "enrolled_share_for_confidence": 0.5,
        },
        "warnings": [],
        "matchers": list(matchers),
    }


def make_tiny_report() -> Report:
    """24 probes that no matcher gets wrong: too few for any rate but EER and rank-1."""
    matchers = [make_matcher(name, calibrated=False) for name in ("vgg16", "classical")]
    for one in matchers:
        one |= {
            "genuine_comparisons": 24,
            "impostor_comparisons": 72,
            "eer": rate(0.0),
            "rank_1": rate(1.0),
            "cmc": [1.0, 1.0, 1.0],
            "fnmr": dict.fromkeys(one["fnmr"]),
            "det": {"fmr": [1, 0.5, 0, 0], "fnmr": [0, 0, 0, 1]},
            "open_set": [{"size": 3, "stranger_probes": 6, "fnir": {"1e-2": None, "1e-3": None}}],
        }
    return make_report(*matchers, identities=4, persons=4, persons_with_probes=4)


@pytest.fixture(scope="module")
def page() -> str:
    """Of two matchers, with errors of every kind."""
    return as_html(make_report(make_matcher("vgg16"), make_matcher("fused")))


@pytest.fixture(scope="module")
def tiny_page() -> str:
    """Of a database with 24 probes."""
    return as_html(make_tiny_report())


def text_of(page: str) -> str:
    page = re.sub(r"<(style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("&#39;", "'")


def test_every_matcher_is_a_row_of_the_table() -> None:
    report = make_report(make_matcher("vgg16"), make_matcher("classical", calibrated=False))
    first, second = re.findall(r"^\| (?:vgg16|classical) .*", as_markdown(report), re.MULTILINE)
    assert first.split(" | ") == [
        "| vgg16",
        "3.00% (1.50% to 6.00%)",
        "4.00% (2.00% to 8.00%)",
        "5.00% (2.50% to 10.00%)",
        "6.00% (3.00% to 12.00%)",
        "97.00% (48.50% to 100.00%)",
        "8.00% (4.00% to 16.00%)",
        "2.00% (1.00% to 4.00%) |",
    ]
    assert second.endswith("| not calibrated |")


def test_fnir_is_that_of_the_largest_gallery_for_which_it_is_stated() -> None:
    report = make_report(make_matcher("vgg16"))
    assert "| FNIR at FPIR 1e-2 (N = 150) |" in as_markdown(report)


def test_the_page_has_a_drawing_for_every_distribution_and_curve(page: str) -> None:
    assert page.count("<svg") == 2 + 4  # DET, CMC, FNIR, reliability
    assert "Benchmark on VERA" in page
    assert "<img" not in page
    assert not re.search(r"(href|src)=\"(?!#)", page), "it needs nothing beside it"


def test_an_operating_point_that_is_not_stated_is_explained_below_the_chart(page: str) -> None:
    text = text_of(page)
    expected = "3,000 for FPIR 1e-3. This database has at most 580. Add identities"
    assert expected in text
    assert "300 for FPIR 1e-2" not in text


def test_a_chart_without_anything_to_show_says_why_and_what_to_do(tiny_page: str) -> None:
    assert tiny_page.count("<svg") == 2  # the distributions
    text = text_of(tiny_page)
    for sentence in (
        "Not drawn: vgg16, classical. One threshold separates all genuine comparisons from all "
        "impostor comparisons",
        "Every matcher ranks the right identity first for every probe",
        "FNIR is stated only with enough probes of strangers: 300 for FPIR 1e-2 and 3,000 for "
        "FPIR 1e-3. This database has at most 6. Add identities, or more images of each.",
        "No matcher here has calibrated confidences.",
    ):
        assert sentence in text


def test_a_matcher_without_errors_is_named_below_the_det_chart() -> None:
    perfect = make_matcher("fused")
    perfect["det"] = {"fmr": [1, 0, 0], "fnmr": [0, 0, 1]}
    chart = draw_det([make_matcher("vgg16"), perfect])
    assert chart.svg
    assert "Not drawn: fused. " in chart.caption


def test_a_net_s_map_and_embedding_have_one_colour_in_every_chart() -> None:
    names = ("alexnet/1 map", "alexnet/1 embedding", "vgg16/1 map", "vgg16/1 embedding")
    matchers = [make_matcher(name, calibrated=name.endswith("map")) for name in names]
    for draw, kinds in ((draw_det, 2), (draw_reliability, 1)):
        svg = draw(matchers).svg
        assert svg
        for colour in (BLUE, ORANGE):
            assert svg.count(colour) >= kinds
        assert GREEN not in svg


def test_too_few_comparisons_are_explained_with_the_number_that_suffices() -> None:
    table = as_markdown(make_tiny_report())
    assert "| too few comparisons |" in table
    assert "at least 300 for FMR 1e-2, 3,000 for FMR 1e-3, 30,000 for FMR 1e-4" in table
    assert "“Too few comparisons”" not in as_markdown(make_report(make_matcher("vgg16")))


def test_without_an_error_the_rule_of_three_is_marked() -> None:
    table = as_markdown(make_tiny_report())
    assert "| 0.00% (0.00% to 0.00%†) |" in table
    assert "† No trial was an error, or every trial was" in table
    assert "†" not in as_markdown(make_report(make_matcher("vgg16")))


def test_the_notes_say_how_images_were_compared() -> None:
    report = make_report(make_matcher("vgg16"))
    text = as_markdown(report)
    assert "Each identity has 2 templates (at most 6), and its most similar one counts." in text
    assert "nothing is calibrated" not in text
    report["database"]["templates_of_an_identity"] = [1, 4]
    report["comparison"].update(shift=3, unlike_service="maps are shifted")
    text = as_markdown(report)
    assert "Each identity has 1 to 4 templates" in text
    assert "at shifts of up to 3 places" in text
    assert "Unlike in the service, maps are shifted: nothing is calibrated." in text


def test_the_page_has_the_notes_of_the_table(page: str, tiny_page: str) -> None:
    assert "its most similar one counts" in text_of(page)
    assert "“Too few comparisons”" in text_of(tiny_page)


def test_stated_rates_stand_beside_the_observed_ones() -> None:
    table = tabulate_stated([make_map_matcher("vgg16/9 map")])
    percent = "9.00% (4.50% to 18.00%)"
    assert table.rows == [
        ["vgg16/9 map", "1e-2", "5.0e-3 (2.5e-3 to 1.0e-2)", "100 of 20,000", percent],
        ["vgg16/9 map", "1e-3", "4.0e-3 (2.0e-3 to 8.0e-3) ⚠", "80 of 20,000", percent],
        ["vgg16/9 map", "1e-4", *["not calibrated"] * 3],
        ["vgg16/9 map", "1e-5", "0 (0 to 0†)", "0 of 20,000", percent],
    ]


def test_rates_with_the_mean_map_stand_above_those_without() -> None:
    found = [make_map_matcher("one"), make_map_matcher("other", mean_map=False)]
    assert [row[:4] for row in tabulate_mean_map(found).rows] == [
        ["one", "subtracted", "3.00% (1.50% to 6.00%)", "5.00% (2.50% to 10.00%)"],
        ["one", "none", "10.00% (5.00% to 20.00%)", "12.00% (6.00% to 24.00%)"],
        ["other", "none", "3.00% (1.50% to 6.00%)", "5.00% (2.50% to 10.00%)"],
    ]
    assert tabulate_mean_map(found).rows[1][4] == "too few comparisons"


def test_strangers_outside_the_mean_map_have_a_column_for_every_number_enrolled() -> None:
    table = tabulate_outside([make_map_matcher("one")])
    assert table.header[2:] == ["0 enrolled", "20 enrolled", "100 enrolled", "500 enrolled"]
    cell = "4.0e-3 (2.0e-3 to 8.0e-3) ⚠, 80 of 20,000"
    none = "too few identities"
    assert table.rows == [
        ["one", "1e-3", cell, cell, none, none],
        ["one", "1e-4", "not calibrated", "not calibrated", none, none],
    ]


def test_tables_on_maps_stand_on_the_page_and_in_the_text_if_there_are_maps() -> None:
    titles = ("Stated against observed FMR", "With and without the mean map",
              "FMR of strangers outside the mean map")  # fmt: skip
    for names in ([], titles):
        matchers = [make_matcher("classical")] + [make_map_matcher("vgg16/9 map")] * bool(names)
        report = make_report(*matchers)
        page, text = as_html(report), as_markdown(report)
        for title in titles:
            assert (f"<h2>{title}</h2>" in page) == bool(names)
            assert (f"**{title}**" in text) == bool(names)


def test_warnings_stand_on_the_page_and_below_the_table() -> None:
    report = make_tiny_report() | {"warnings": ["vgg16/1 knows <these> palms"]}
    assert "**vgg16/1 knows <these> palms.**" in as_markdown(report)
    assert "vgg16/1 knows &lt;these&gt; palms" in as_html(report)


def test_rates_are_named_as_the_field_does() -> None:
    assert [name_rate(rate) for rate in (0.01, 1e-3, 1e-4)] == ["1e-2", "1e-3", "1e-4"]
