# SPDX-License-Identifier: MIT
"""One way to compile a regular expression that somebody typed. Standard library only."""

from __future__ import annotations

import re
import warnings


def compiled(text: str, flags: re.RegexFlag | int = 0) -> re.Pattern[str]:
    """Compile an expression. Raises ValueError with a reason for people, whatever is wrong with it; Python's advice
    about a later version of the language is not printed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text, flags)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (re.error, OverflowError, ValueError) as error:
        raise ValueError(str(error)) from None
