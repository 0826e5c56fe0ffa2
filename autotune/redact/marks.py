# SPDX-License-Identifier: MIT
"""The marks that replace secrets."""

from __future__ import annotations

import re

LONGEST_MARK = 40
MARK = r"\[redacted: [A-Za-z][A-Za-z0-9. ]{0,25}\]"
MARKED = re.compile(rf"(?:{MARK})+[;,)}}\]\\.]*")
WHOLE = "[redacted: text]"
