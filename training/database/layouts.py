"""Layouts of palm databases: how each database names its folders and files.

A layout is a function that parses a path relative to the database's folder. It returns a `Name`, or
None if the path does not fit the layout. No file is opened.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import median_low
from typing import Literal

OTHER_BAND = "of another band"
WRIST = "wrists"
MISPLACED = "with names and folders that disagree on the session"

Layout = Literal[
    "auto", "fyo", "vera", "put", "casia", "polyu", "tongji", "plain", "session-first"
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """The fields of a parsed path.

    Attributes:
        person: the database's number of the person; of the palm if persons have no numbers.
        hand: L or R; None if the name does not say.
        session: None if the database has no sessions.
        shot: number within hand and session; None if shots are numbered in the order of files.
        band_nm: wavelength, if the database has several to choose from.
        left_out: why the image is never used; None if it can be used.
    """

    person: str
    hand: str | None = None
    session: str | None = None
    shot: int | None = None
    band_nm: int | None = None
    left_out: str | None = None


Parser = Callable[[PurePosixPath], Name | None]

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
"""Shots of a palm in each of two sessions."""
TONGJI_PALMS = 600

_SESSION = re.compile(
    r"(session|visit|day|date|week|month|round)[ _-]?\d+|(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d",
    re.IGNORECASE,
)
"""Names of sessions, not of identities: `session1`, `day_2`, `2024-05-01`."""
_NUMBER = re.compile(r"[sdtv]?[ _-]?\d+", re.IGNORECASE)
"""Names of sessions or of identities: `s2` is session 2 or subject 2."""


def fyo(path: PurePosixPath) -> Name | None:
    """Reads `Subject 17/Session 1/s17_1_L_S1.jpg`; the folder's subject overrides the file's."""
    if not (found := _FYO.fullmatch(path.stem)):
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
    """Reads `001-M/01/001_L_1_1.png`: person, hand, session, shot."""
    if not (found := _VERA.fullmatch(path.stem)):
        return None
    person, hand, session, shot = found.groups()
    return Name(person=person, hand=hand.upper(), session=session, shot=int(shot))


def put(path: PurePosixPath) -> Name | None:
    """Reads `P_o017_L_S1_Nr1.bmp`: a palm of person 17; `W_` is a wrist."""
    if not (found := _PUT.fullmatch(path.stem)):
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
    """Reads `001_l_940_01.jpg`: person, hand, band, shot; 04 to 06 are session 2."""
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
    """Reads `NIR/I_0001_01.jpg`: palm, shot; 07 to 12 are session 2; R_, G_ and B_ are colours."""
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
    """Reads `session1/00001.bmp`, also inside `ROI/`; every ten files are of the next palm."""
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
    """Reads `<identity>/<session>/<image>` or `<identity>/<image>`."""
    if len(path.parts) == 3:
        return Name(person=path.parts[0], session=path.parts[1])
    return Name(person=path.parts[0]) if len(path.parts) == 2 else None


def session_first(path: PurePosixPath) -> Name | None:
    """Reads `<session>/<identity>/<image>`."""
    return Name(person=path.parts[1], session=path.parts[0]) if len(path.parts) == 3 else None


NAMED: dict[str, Parser] = {
    parse.__name__: parse for parse in (fyo, vera, put, casia, polyu, tongji)
}
"""Layouts that can be detected from the names of files."""

LAYOUTS: dict[str, Parser] = {**NAMED, "plain": plain, "session-first": session_first}

WITHOUT_PEOPLE = ("polyu", "tongji")
"""Layouts that number palms and do not say which palms are one person's."""


def may_be_session_first(outer: Iterable[str], inner: Iterable[str]) -> bool:
    """Returns whether outer folders may be sessions and inner folders identities.

    The names are compared with names of sessions. If both levels fit equally well, the level with
    fewer folders may be the sessions: a database seldom has more sessions than identities.

    Args:
        outer: distinct names of the folders in the database's folder, at least one.
        inner: distinct names of the folders inside those, at least one.
    """
    outer, inner = set(outer), set(inner)
    outer_rank, inner_rank = _rank_as_sessions(outer), _rank_as_sessions(inner)
    if outer_rank == inner_rank:
        return len(inner) > len(outer)
    # Folders s1 to s40 that each hold `morning` and `evening` are subjects.
    return outer_rank > inner_rank and (outer_rank == 2 or len(inner) >= len(outer))


def _rank_as_sessions(names: Iterable[str]) -> int:
    """Returns 2 if most names are of sessions, 1 if most may be of sessions, else 0."""
    ranks = [2 if _SESSION.fullmatch(n) else 1 if _NUMBER.fullmatch(n) else 0 for n in names]
    return median_low(ranks)
