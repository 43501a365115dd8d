"""Decides what of a backup must not come back, because it was erased after the backup was made.

Numbers of subjects and templates are never used twice, also not after a restore. So whatever number
is in `REMOVED` or on a receipt stands for a subject that was erased since, or that got another
number because a template of it was erased, or because it was renamed or merged. The gallery itself
tells which: if it still has that subject, by the time of its enrolment, or templates of it, whoever
has them stays as they are now.
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, and_, select

from app.audit.pseudonyms import Pseudonyms
from app.gallery.backup.contents import Contents, Later
from app.gallery.sql.batches import batches
from app.gallery.sql.schema import ERASURES, MAPS, REMOVED, SUBJECTS


class Replay(NamedTuple):
    """What is not restored.

    Attributes:
        left_out: numbers of the backup's subjects that are not restored.
        kept: the gallery's own subjects that stay as they are, by number.
        erased: how many of those that were left out were erased after the backup.
        thinned: of how many single templates were erased, and nobody knows which.
        moved: how many were renamed or merged after the backup, and are restored as they were.
    """

    left_out: frozenset[int]
    kept: dict[int, str]
    erased: int
    thinned: int
    moved: int


def plan_replay(connection: Connection, contents: Contents, later: Later, *, same: bool) -> Replay:
    """Compares a backup with the gallery that it replaces, which may be an empty one.

    Args:
        connection: a writer's transaction.
        contents: the backup's.
        later: what an audit log tells.
        same: whether it is the backup's own gallery; another one gave its numbers to others.
    """
    names = Pseudonyms(contents.secrets["pseudonyms"])
    pseudonyms = {number: names.of(one) for number, one in contents.subjects.items()}
    gone, erased = _removed(connection, contents) if same else (set[int](), set[str]())
    erased |= later.erased
    suspects = {
        number
        for number, pseudonym in pseudonyms.items()
        if number in gone or pseudonym in erased or pseudonym in later.thinned
    }
    holders = _holders(connection, contents, suspects)
    kept = {number: one for own in holders.values() for number, one in own.items()}
    lost = suspects - holders.keys()
    thinned = {
        number
        for number in lost
        if number not in gone and pseudonyms[number] not in erased  # then only thinned
    }
    taken = set(kept.values())
    doubles = {
        number for number, one in contents.subjects.items() if number in kept or one in taken
    }
    left_out = suspects | doubles
    moved = {
        number
        for number, pseudonym in pseudonyms.items()
        if pseudonym in later.moved and number not in left_out
    }
    return Replay(frozenset(left_out), kept, len(lost - thinned), len(thinned), len(moved))


def _removed(connection: Connection, contents: Contents) -> tuple[set[int], set[str]]:
    """Returns the numbers and pseudonyms of what the gallery has removed since the backup."""
    receipts = connection.execute(
        select(ERASURES.c.erasure_id, ERASURES.c.pseudonym, ERASURES.c.erased, ERASURES.c.number)
    ).all()
    numbers = set(connection.scalars(select(REMOVED.c.number))) | {one.number for one in receipts}
    erased = {
        one.pseudonym
        for one in receipts
        if one.erased == "subject" and one.erasure_id not in contents.receipts
    }
    return numbers, erased


def _holders(
    connection: Connection, contents: Contents, numbers: Collection[int]
) -> dict[int, dict[int, str]]:
    """Returns for each of the backup's subjects, by number, who in the gallery it is now.

    That is whoever was enrolled when it was, and whoever has templates of it.

    Args:
        connection: the transaction.
        contents: the backup's.
        numbers: numbers of subjects; those who are nobody now are not in the result.
    """
    times = Counter(contents.enrolled_at.values())
    enrolled = {
        at: number
        for number, at in contents.enrolled_at.items()
        if number in numbers and times[at] == 1
    }
    owners = {
        image: number for number in numbers for image in contents.images[contents.subjects[number]]
    }
    found: dict[int, dict[int, str]] = {}
    for some in batches(enrolled):
        same = and_(SUBJECTS.c.origin == "enrolled", SUBJECTS.c.created_at.in_(some))
        for row in connection.execute(select(SUBJECTS).where(same)):
            found.setdefault(enrolled[row.created_at], {})[row.number] = row.subject_id
    for some in batches(owners):
        query = (
            select(MAPS.c.number.label("image"), SUBJECTS.c.number, SUBJECTS.c.subject_id)
            .join(SUBJECTS, MAPS.c.subject_id == SUBJECTS.c.subject_id)
            .where(MAPS.c.number.in_(some))
        )
        for row in connection.execute(query.distinct()):
            found.setdefault(owners[row.image], {})[row.number] = row.subject_id
    return found
