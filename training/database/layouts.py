"""How each palm database names its files: from a path to whose palm it shows.

A layout is a function from a path relative to the database's folder to a `Name`, or None if that
database has no such names. Only names are read here, never files.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

OTHER_BAND = "of another band"
WRIST = "wrists"
MISPLACED = "whose name and folder disagree on the session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a file's name says.

    Attributes:
        person: as the database numbers people, or palms where it does not tell people apart.
        hand: L or R; None where the name does not say.
        session: None where the database has none.
        shot: number within hand and session; None where the order of the names must do.
        band_nm: wavelength, where a database has several to choose from.
        left_out: why this is no palm to take, whatever was asked for.
    """

    person: str
    hand: str | None = None
    session: str | None = None
    shot: int | None = None
    band_nm: int | None = None
    left_out: str | None = None


Layout = Callable[[PurePosixPath], Name | None]

_FYO = re.compile(r"s(\d+)_(\d+)_([LR])_S(\d+)", re.IGNORECASE)
_FYO_SUBJECT = re.compile(r"subject[ _]?(\d+)", re.IGNORECASE)
_FYO_SESSION = re.compile(r"session[ _]?(\d+)", re.IGNORECASE)
_VERA = re.compile(r"(\d+)_([LR])_(\d)_(\d{1,2})", re.IGNORECASE)
_PUT = re.compile(r"([PW])_o(\d+)_([LR])_S(\d+)_Nr(\d+)", re.IGNORECASE)
_CASIA = re.compile(r"(\d+)_([LR])_(\d{3}|WHT)_(\d{2})", re.IGNORECASE)
_POLYU = re.compile(r"([RGBI])_(\d{4})_(\d{2})", re.IGNORECASE)
_TONGJI_SESSION = re.compile(r"session[ _]?([12])", re.IGNORECASE)

CASIA_SHOTS = 3
POLYU_SHOTS = 6
TONGJI_SHOTS = 10
"""Shots of a palm in each of the two sessions: their numbers run on where the session is not named.
"""
TONGJI_PALMS = 600


def fyo(path: PurePosixPath) -> Name | None:
    """`Subject 17/Session 1/s17_1_L_S1.jpg`; the folder, where there is one, names the person."""
    found = _FYO.fullmatch(path.stem)
    if not found:
        return None
    subject, shot, hand, session = found.groups()
    subjects = [m[1] for part in path.parts[:-1] if (m := _FYO_SUBJECT.fullmatch(part))]
    sessions = [m[1] for part in path.parts[:-1] if (m := _FYO_SESSION.fullmatch(part))]
    return Name(
        person=f"{int((subjects or [subject])[-1]):03}",
        hand=hand.upper(),
        session=str(int(session)),
        shot=int(shot),
        left_out=MISPLACED if sessions and int(sessions[-1]) != int(session) else None,
    )


def vera(path: PurePosixPath) -> Name | None:
    """`001-M/01/001_L_1_1.png`: person, hand, session, shot."""
    found = _VERA.fullmatch(path.stem)
    if not found:
        return None
    person, hand, session, shot = found.groups()
    return Name(person=person, hand=hand.upper(), session=session, shot=int(shot))


def put(path: PurePosixPath) -> Name | None:
    """`P_o017_L_S1_Nr1.bmp`: a palm of person 17; W_ is a wrist."""
    found = _PUT.fullmatch(path.stem)
    if not found:
        return None
    part, person, hand, session, shot = found.groups()
    return Name(
        person=person,
        hand=hand.upper(),
        session=str(int(session)),
        shot=int(shot),
        left_out=WRIST if part.upper() == "W" else None,
    )


def casia(path: PurePosixPath) -> Name | None:
    """`001_l_940_01.jpg`: person, hand, band, shot; 01 to 03 are session 1, 04 to 06 session 2."""
    found = _CASIA.fullmatch(path.stem)
    if not found or not 1 <= int(found[4]) <= 2 * CASIA_SHOTS:
        return None
    person, hand, band, shot = found.groups()
    white = not band.isdecimal()
    return Name(
        person=person,
        hand=hand.upper(),
        session=str(1 + (int(shot) - 1) // CASIA_SHOTS),
        shot=int(shot),
        band_nm=None if white else int(band),
        left_out=OTHER_BAND if white else None,
    )


def polyu(path: PurePosixPath) -> Name | None:
    """`NIR/I_0001_01.jpg`: palm, shot; 01 to 06 are session 1. R_, G_ and B_ are visible light."""
    found = _POLYU.fullmatch(path.stem)
    if not found or not 1 <= int(found[3]) <= 2 * POLYU_SHOTS:
        return None
    band, palm, shot = found.groups()
    visible = band.upper() != "I" or {"red", "green", "blue"} & {p.lower() for p in path.parts}
    return Name(
        person=palm,
        session=str(1 + (int(shot) - 1) // POLYU_SHOTS),
        shot=int(shot),
        left_out=OTHER_BAND if visible else None,
    )


def tongji(path: PurePosixPath) -> Name | None:
    """`session1/00001.bmp`, at most inside `ROI/`: ten files in a row are one of 600 palms."""
    folders = [part for part in path.parts[:-1] if part.lower() != "roi"]
    session = _TONGJI_SESSION.fullmatch(folders[0]) if len(folders) == 1 else None
    if not session or not re.fullmatch(r"\d{5}", path.stem):
        return None
    number = int(path.stem)
    if not 1 <= number <= TONGJI_PALMS * TONGJI_SHOTS:
        return None
    palm = 1 + (number - 1) // TONGJI_SHOTS
    return Name(person=f"{palm:03}", session=session[1], shot=number)


def plain(path: PurePosixPath) -> Name | None:
    """`<identity>/<session>/<image>` or `<identity>/<image>`."""
    if len(path.parts) == 3:
        return Name(person=path.parts[0], session=path.parts[1])
    return Name(person=path.parts[0]) if len(path.parts) == 2 else None


NAMED: dict[str, Layout] = {
    "fyo": fyo,
    "vera": vera,
    "put": put,
    "casia": casia,
    "polyu": polyu,
    "tongji": tongji,
}
"""Layouts that are known by their files' names."""

LAYOUTS: dict[str, Layout] = {**NAMED, "plain": plain}

WITHOUT_PEOPLE = ("polyu", "tongji")
"""Databases that number palms and do not say which two are one person's."""
