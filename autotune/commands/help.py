# SPDX-License-Identifier: MIT
"""Removes noise from help texts: types that mean nothing to people, and the line breaks of the source."""

from __future__ import annotations

import re
from typing import Any


def tidy(command: Any) -> None:
    """Change what a command, and those below it, show with `--help`."""
    command.help = joined(command.help)
    _hide_types(command)
    for one in getattr(command, "commands", {}).values():
        tidy(one)


def joined(text: str | None) -> str | None:
    """Join the lines of each paragraph, so that the terminal's width alone breaks them."""
    if text is None:
        return None
    paragraphs = re.split(r"\n[ \t]*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _unbrace(argument: Any) -> None:
    """Show a required argument as `COMMAND`, as manuals do, not as `{COMMAND}`."""
    pieces = argument.get_usage_pieces
    argument.get_usage_pieces = lambda ctx: [re.sub(r"[{}]", "", piece) for piece in pieces(ctx)]


def _nothing(ctx: Any) -> None:
    del ctx


def _hide_types(command: Any) -> None:
    for param in command.params:
        if param.param_type_name == "argument":
            param.display_type_rich = _nothing  # its name says what it is
            _unbrace(param)
        elif param.is_flag and param.metavar is None:
            param.metavar = ""
    of_help = command.get_help_option

    def help_option(context: Any) -> Any:
        option = of_help(context)
        if option is not None:
            option.metavar = ""
        return option

    command.get_help_option = help_option
