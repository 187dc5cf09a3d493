"""Go's spelling of command-line flags, on top of click's.

The reference's backfiller is a Go program: its flags have one dash or two, `-apiKey`, values after
`=` or a blank, and booleans take a value, `-bars=true`. Command lines written for it work here
unchanged. Each flag also has a GNU spelling, `--api-key`, which is what `--help` shows.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class GoFlagsCommand(click.Command):
    """A command whose long options may be written in Go's way as well.

    An option `--api-key` is also `-apiKey`, `--apiKey`, `-api-key`, each with `=value` too; a flag
    `--bars/--no-bars` is also `-bars`, `-bars=true`, `--bars=f`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite Go's spellings to click's, then parse as usual."""
        return super().parse_args(ctx, list(self._rewrite(args)))

    def _rewrite(self, args: list[str]) -> Iterator[str]:
        known = {_gnu_name(name): option for option in self._options() for name in option.opts}
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                yield arg
                yield from rest
                return
            name, equals, value = arg.partition("=")
            option = known.get(_gnu_name(name)) if len(name.lstrip("-")) > 1 else None
            if not arg.startswith("-") or option is None:
                yield arg
            elif option.is_flag:
                yield _flag(option, value) if equals else option.opts[0]
            else:
                yield option.opts[0]
                # The value is taken here, so that it may begin with a dash.
                yield from [value] if equals else itertools.islice(rest, 1)

    def _options(self) -> list[click.Option]:
        return [option for option in self.params if isinstance(option, click.Option)]


def _gnu_name(name: str) -> str:
    """`api-key` of `-apiKey`, `--api-key`; and `base-url` of `-baseURL`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.lstrip("-")).lower()


def _flag(option: click.Option, value: str) -> str:
    if value in _TRUE:
        return option.opts[0]
    if value in _FALSE and option.secondary_opts:
        return option.secondary_opts[0]
    raise click.BadParameter(f"{value!r} is not true or false", param=option)
