from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tsstore.errors import ConfigError
from tsstore_massive.universes import UniverseBook

if TYPE_CHECKING:
    from pathlib import Path

INLINE: Any = {
    "tech_leaders": {"top_2": ("AAPL", "MSFT"), "others": ("AMD", "AAPL")},
    "metals": ("GLD", "SLV"),
}


def book(path: Path | str = "", *used: str) -> UniverseBook:
    return UniverseBook(INLINE, str(path), used)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)
    stamp = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(stamp, stamp))


def reread(universes: UniverseBook) -> bool:
    """Both looks that it takes."""
    return universes.refresh() | universes.refresh()


@pytest.mark.parametrize(
    ("names", "symbols"),
    [
        (["tech_leaders:top_2"], ("AAPL", "MSFT")),
        (["tech_leaders"], ("AAPL", "MSFT", "AMD")),
        (["metals", "tech_leaders:others"], ("GLD", "SLV", "AMD", "AAPL")),
        ([], ()),
    ],
)
def test_names_select_lists_each_symbol_once(names: list[str], symbols: tuple[str, ...]) -> None:
    assert book().symbols(names) == symbols


@pytest.mark.parametrize("name", ["tech", "tech_leaders:top", "metals:gold", ""])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(ConfigError, match=r"tech_leaders:top_2, tech_leaders:others, metals"):
        book().symbols([name])


def test_a_text_file_is_a_universe_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("AAPL  # the first\n\n# none\nBRK.B\nON\n")
    assert book(file).symbols(["mine"]) == ("AAPL", "BRK.B", "ON")


def test_a_text_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes("\ufeffAAPL\r\nBRK.B\r\n".encode())
    assert book(tmp_path / "mine.txt").symbols(["mine"]) == ("AAPL", "BRK.B")


def test_a_yaml_file_is_a_mapping_like_that_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "more.yml"
    file.write_text("chips: [ON, NVDA]\nbanks:\n  large: [C, JPM]\n")
    assert book(file).symbols(["banks:large", "chips"]) == ("C", "JPM", "ON", "NVDA")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yml", "chips: [A*]", "not a symbol"),
        ("a.yml", "chips: NVDA", "not lists of symbols"),
        ("a.yml", "[AAPL]", "not lists of symbols"),
        ("a.yml", "a: [", "not YAML"),
        ("a.yml", "metals: [GLD]", "rename"),
        ("a.txt", "AAPL, MSFT", "not a symbol"),
        ("a.txt", "# nothing", "no symbol"),
        ("b.txt", "AAPL", "there is no universe 'a'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        book(file, "a")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        book(tmp_path / "nowhere.yml")


def test_a_changed_file_is_read_once_it_is_settled(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("AAPL\n")
    universes = book(file, "mine")
    assert not reread(universes)
    rewrite(file, "AAPL\nMS")
    assert not universes.refresh()
    rewrite(file, "AAPL\nMSFT\n")  # whoever writes it had not come to the end
    assert not universes.refresh()
    assert universes.refresh()
    assert universes.symbols(["mine"]) == ("AAPL", "MSFT")
    assert not reread(universes)


@pytest.mark.parametrize("text", ["", "A*\n", None])
def test_a_file_gone_wrong_changes_nothing_and_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("AAPL\n")
    universes = book(file, "mine")
    if text is None:
        file.unlink()
    else:
        rewrite(file, text)
    assert not reread(universes)
    assert universes.symbols(["mine"]) == ("AAPL",)
    assert "stay as they were" in universes.error
    rewrite(file, "MSFT\n")
    assert reread(universes)
    assert (universes.symbols(["mine"]), universes.error) == (("MSFT",), "")


def test_a_file_touched_without_a_change_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("AAPL\n")
    universes = book(file, "mine")
    rewrite(file, "AAPL\n")
    assert not reread(universes)
