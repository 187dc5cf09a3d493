"""What `tsstore start` logs: lines on stderr, UTC, no secret in any of them."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from tsstore.redact import RedactingFormatter

if TYPE_CHECKING:
    from tsstore.redact import Redactor

_LEVELS = {
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
#: Libraries that tell every request at `info`; they get to speak at `debug`.
_TALKATIVE = ("httpx", "httpx2", "httpcore", "httpcore2", "websockets", "asyncio", "uvicorn")


def set_up_logging(level: str, redactor: Redactor) -> None:
    """Log to stderr from now on.

    Args:
        level: as in mkts.yml: fatal, error, warning (or warn), info or debug.
        redactor: masks secrets in messages and tracebacks, whoever logs them.
    """
    formatter = RedactingFormatter(
        redactor,
        "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s",
        "%Y-%m-%d %H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    if level != "debug":
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
