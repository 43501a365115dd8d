"""The service's log: one JSON object a line, on standard error."""

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """Writes a record with the `fields` that were passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str) -> None:
    """Directs everything the service logs to standard error.

    Uvicorn's access log is switched off: `RequestLog` writes the same and the request's id.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    service = logging.getLogger("app")
    service.handlers = [handler]
    service.propagate = False  # or each line again, as whoever set up the root logger writes it
    service.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True
