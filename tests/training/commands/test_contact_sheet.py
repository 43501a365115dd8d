from pathlib import Path

import cv2
import pytest

from training.commands.contact_sheet import ContactSheetConfig, contact_sheet


def test_contact_sheet_shows_what_synthesize_writes(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheets" / "sheet.png"
    verdict = contact_sheet(ContactSheetConfig(out=out, identities=2, sessions=2, shots=1))
    assert str(verdict).startswith(f"{out}: a row for each of 2 synthetic palms")
    sheet = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)
    for name in ("p001/s1/01.png", "p002/s2/01.png"):
        one = cv2.imread(str(database / name), cv2.IMREAD_GRAYSCALE)
        assert cv2.matchTemplate(sheet, one, cv2.TM_SQDIFF).min() < 1e4  # its rounding


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sheet.jpg", {}, r"sheet\.jpg must end in \.png"),
        ("sheet.png", {"sessions": 0}, "--sessions must be at least 1, not 0"),
    ],
)
def test_an_option_out_of_range_writes_nothing(
    tmp_path: Path, name: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(ContactSheetConfig(out=tmp_path / name, **options))
    assert list(tmp_path.iterdir()) == []
