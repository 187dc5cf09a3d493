"""Programs of the project as processes of their own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 60.0
_POLL_S = 0.02
_LOG_LINES_SHOWN = 20
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
_ADDRESS = re.compile(r"(?:listening on|serving .* at) (http://\S+)")


@contextlib.contextmanager
def server(
    folder: Path, config: str = "", *, data: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`tsstore start` inside the block.

    Args:
        folder: where mkts.yml and the log go.
        config: more of mkts.yml.
        data: the data directory.

    Yields:
        The process, and the address of the server.
    """
    path = folder / "mkts.yml"
    path.write_text(f"root_directory: {data}\nlisten_port: 0\n{config}")
    command = [sys.executable, "-m", "tsstore", "start", "-c", str(path)]
    with _program(command, folder / "server.log") as found:
        yield found


@contextlib.contextmanager
def simulator(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`massive_simulator` inside the block; yields the process and its address."""
    program = Path(sys.executable).with_name("massive_simulator")
    with _program([str(program), "--port", "0", *options], folder / "simulator.log") as found:
        yield found


@contextlib.contextmanager
def _program(command: list[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    with process:
        try:
            yield process, _address(process, log)
        except Exception as error:
            lines = log.read_text().splitlines()
            error.add_note("\n".join([f"The end of {log.name}:", *lines[-_LOG_LINES_SHOWN:]]))
            raise
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        found = _ADDRESS.search(log.read_text())
        if found is not None:
            return found[1]
        time.sleep(_POLL_S)
    raise RuntimeError(f"the {log.stem} did not start")


def run_python(*arguments: str) -> str:
    """Run Python with these arguments in a process of its own; return what it printed.

    Only the first process compiles a module, as with anything that is installed.
    """
    command = [sys.executable, *arguments]
    environment = {name: os.environ[name] for name in os.environ.keys() - {_NO_BYTECODE}}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr}")
    return done.stdout


def peak_memory() -> int:
    """The most memory this process has had in use so far, in bytes.

    Unlike `ru_maxrss`, it leaves out what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
