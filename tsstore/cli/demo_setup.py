"""The processes of the demonstration, and the configuration they run with."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsstore.cli import tether
from tsstore.errors import (
    ConfigError,
    ConnectionFailedError,
    InvalidArgumentError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from tsstore.store import Store

#: Where the server listens, if nobody else does.
USUAL_PORT = 5993
_LOG_LINES_SHOWN = 5
_STOP_TIMEOUT_S = 2.0
_TETHER = (sys.executable, "-IS", tether.__file__)
_LISTENING = re.compile(r"listening on (http://\S+)")


class Process:
    """A program of the demonstration, its output in a log file.

    It has a process group of its own, so that Ctrl-C reaches the demonstration alone, which then
    stops its programs in order. It is told to stop as well when the demonstration is killed.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, **environment: str
    ) -> None:
        self.name = name
        self._log = log
        try:
            with log.open("wb") as stderr:
                self._process = subprocess.Popen(  # noqa: S603  (our own programs)
                    [*_TETHER, str(os.getpid()), *map(str, command)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={**os.environ, **environment},
                    start_new_session=True,
                )
        except OSError as error:
            raise StorageError(f"cannot run {command[0]}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def first_line(self, timeout_s: float) -> str:
        """What the program prints first.

        Raises:
            ConnectionFailedError: it ended, or printed nothing in time.
        """
        stdout = self._process.stdout
        if stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            line = stdout.readline() if selector.select(timeout_s) else b""
        if not line:
            raise self.failure("did not start")
        return line.decode(errors="replace")

    def check(self) -> None:
        """Raise if the program has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def failure(self, what: str) -> ConnectionFailedError:
        """An error that shows the end of the program's log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        shown = "\n".join(lines[-_LOG_LINES_SHOWN:])
        return ConnectionFailedError(f"the {self.name} {what}; see {self._log}\n{shown}".rstrip())

    def stop(self) -> None:
        """End the program, by force if it takes longer than two seconds."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def start_simulator(options: Sequence[str | Path], log: Path) -> tuple[Process, str]:
    """The simulator of Massive, and its address.

    Raises:
        ConfigError: it is not installed.
        ConnectionFailedError: it did not start.
    """
    beside = Path(sys.executable).parent / "massive_simulator"
    program = str(beside) if beside.exists() else shutil.which("massive_simulator")
    if program is None:
        raise ConfigError("massive_simulator is not installed; `pip install tsstore[massive]`")
    process = Process("simulator", [program, "--port", "0", *options], log)
    try:
        line = process.first_line(timeout_s=60)
        found = _LISTENING.search(line)
        if found is None:
            raise process.failure(f"printed {line.strip()!r} instead of its address")
    except BaseException:
        process.stop()
        raise
    return process, found[1]


def start_server(config: Path, log: Path, runtime: str) -> Process:
    """The server, as `tsstore start -c` runs it; the lock of its worker's key is in `runtime`."""
    command: list[str | Path] = [sys.executable, "-m", "tsstore", "start", "-c", config]
    return Process("server", command, log, XDG_RUNTIME_DIR=runtime)


def free_port() -> int:
    """The usual port, or another one when that is taken."""
    for port in (USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    raise ConfigError("no port of 127.0.0.1 can be listened on")


def check_alike(store: Store, keys: Iterable[str], *, synthetic: bool) -> None:
    """Refuse the directory of another market, where rows of this one would not be taken.

    The worker would refuse it as well, in its own log and words.

    Args:
        store: what the directory holds.
        keys: what would be written to, besides the worker's own buckets.
        synthetic: whether the rows would be made up.

    Raises:
        InvalidArgumentError: some of them hold the other kind.
    """
    there = [*sorted(set(keys).intersection(store.list())), *store.list("_massive/24H/*")]
    other = (key for key in there if store.info(key).schema.synthetic is not synthetic)
    found = next(other, None)
    if found is not None:
        held, new = ("real", "made up") if synthetic else ("made-up", "read from files")
        raise InvalidArgumentError(
            f"{store.path} holds {held} rows ({found}), and these would be {new}; name another "
            "directory with --dir, or remove that one"
        )


def with_values(example: str, values: Mapping[str, str]) -> str:
    """The example configuration with other values for some keys, its comments kept.

    Args:
        example: the text of mkts.yml.example.
        values: key to value, as YAML on one line; it takes the place of what stands there.
    """
    for key, value in values.items():
        example = _with_value(example, key, value)
    return example


def _with_value(example: str, key: str, value: str) -> str:
    # The key's line, and lines below it that are deeper and no comments: the block it heads.
    block = rf"{re.escape(key)}:.*(?:\n\1 +[^\s#-].*)*$"
    # One that is commented out is taken if there is no other.
    patterns = (rf"^( *){block}", rf"^( *)# {block}")
    found = next(filter(None, (re.search(each, example, re.MULTILINE) for each in patterns)), None)
    if found is None:
        raise ConfigError(f"mkts.yml.example has no key {key}")
    return f"{example[: found.start()]}{found[1]}{key}: {value}{example[found.end() :]}"
