"""The service's log: one JSON object per line, on standard error."""

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """Formats a record together with the `fields` that were passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as one line of JSON."""
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
    """Directs the records of the service, its server and its tracing to standard error.

    The server's access log is switched off: `RequestLog` logs every request with its id.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name in ("app", "uvicorn", "opentelemetry"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False  # a handler of the root logger would write each line again
        logger.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True
