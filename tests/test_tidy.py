"""Rules about the code that no linter knows, each with the reason it exists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tsstore

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "tsstore").rglob("*.py"))
# All but the first read and write what users name on the command line, not what is in a data
# directory.
OPENING = {"vfs", "cli", "marketstore", "testing"}


def calls(path: Path) -> set[str]:
    """Names of the functions and methods that a file calls."""
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    plain = {f.id for f in functions if isinstance(f, ast.Name)}
    return plain | {
        f"{f.value.id}.{f.attr}"
        for f in functions
        if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_opened_only_in_vfs(path: Path) -> None:
    """The fault-injecting file system sees every write only if nobody else opens files."""
    if path.relative_to(ROOT / "tsstore").parts[0] in OPENING:
        return
    assert not calls(path) & {"open", "os.open", "os.write", "os.fsync", "os.replace", "os.rename"}


def test_public_names_are_in_the_readme() -> None:
    """A name nobody can find out about should not be public."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in tsstore.__all__ if name not in readme] == []


def test_public_names_exist() -> None:
    """`__all__` is what users get."""
    assert [name for name in tsstore.__all__ if not hasattr(tsstore, name)] == []


def test_the_python_of_the_readme_compiles() -> None:
    """Examples are copied by users as they stand."""
    readme = (ROOT / "README.md").read_text()
    blocks = [block.split("```")[0] for block in readme.split("```python\n")[1:]]
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
