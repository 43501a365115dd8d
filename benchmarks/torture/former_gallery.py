"""Writes a gallery as a former release did, which this one upgrades and encrypts."""

from pathlib import Path

import numpy as np
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from app.matching.maps import VeinMaps
from app.nets.store import load_nets
from app.settings import Settings

FORMER = "0002"
"""The last revision that was not encrypted."""


def write_former(path: Path, subjects: int) -> None:
    """Writes a SQLite gallery of the shipped nets' format, with random templates."""
    settings = Settings()
    formats = [net.format for net in load_nets(settings.models_dir, settings.nets, "openvino")]
    config = Config()
    config.set_main_option("script_location", "app.gallery.sql:migrations")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, FORMER)
        connection.execute(text("INSERT INTO gallery VALUES (5, 1, :next)"), {"next": subjects + 1})
        for number in range(1, subjects + 1):
            one = {"id": f"f{number}", "number": number, "at": "2026-01-01T00:00:00+00:00"}
            connection.execute(
                text(
                    "INSERT INTO subjects (subject_id, name, origin, created_at, number, changed) "
                    "VALUES (:id, :id, 'enrolled', :at, :number, 1)"
                ),
                one,
            )
            for of in formats:
                side, channels = of.shape
                values = np.random.default_rng(number).integers(-40, 41, (1, side, side, channels))
                maps = VeinMaps(values.astype(np.int8), np.ones((1, side, side), bool))
                connection.execute(
                    text(
                        "INSERT INTO maps (subject_id, net, template_id, map, number, added_at) "
                        "VALUES (:id, :net, :template_id, :map, :number, :at)"
                    ),
                    {**one, "net": of.net, "template_id": of.template_id}
                    | {"map": maps.to_bytes()[0]},
                )
    engine.dispose()
