"""Paths as people type them."""

from __future__ import annotations

import os
from typing import Any

import click


class FilledPath(click.Path):
    """A path that is not empty.

    An empty one, which an unset variable of a script makes, would mean the working directory.
    """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path as `click.Path` hands it out."""
        if not os.fspath(value):
            self.fail("it is empty; name a file or directory", param, ctx)
        return super().convert(value, param, ctx)
