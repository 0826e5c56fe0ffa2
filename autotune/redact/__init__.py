# SPDX-License-Identifier: MIT
r"""Removes secrets from text before it leaves the machine or is kept in a log. Pure, standard library only.

Nets, one after another:
- the values of environment variables whose names say that they are secret, also percent-encoded, JSON-escaped and in
  base64 (`variables` chooses the values);
- private keys, to their end or, when that is cut off, as far as the lines look like a key;
- the formats of known keys and tokens, and what reads like one of a vendor that is not known yet;
- values in places of secrets: headers, URLs, XML elements, pairs of name and value, YAML blocks;
- command lines: the words that a known program takes as secrets (`programs` is the table), what is piped into one that
  reads a password, what `echo` says is one;
- options with secret-like names, and assignments to such names.

What always holds here:
- `text(text(x)) == text(x)`: a pass is repeated until nothing changes. A text that does not settle within MOST_PASSES,
  which takes malice, is replaced whole;
- linear time: every pattern begins at a place that cannot lie inside its own earlier attempt, or looks only a bounded
  number of characters ahead;
- never longer than MOST_GROWTH times the text plus LONGEST_MARK.

Limits. Not recognised: a secret without a known format under an innocent name (`FOO=password`, ~/.pgpass) or on the
command line of a program that the table does not know; one that was wrapped over lines, reversed or encrypted; an AWS
secret key without its name; what follows the last `@` before a bare `/` in the password of a URL; a password of several
words without quotes in YAML; after `token:` a plain word, or a name as in code under 16 characters or without mixed
characters; a word that a password variable shares with prose (under LEAST_WORD letters).
Hashes, UUIDs, paths and code are spared only without a secret-like name before them.
That is why `--no-output-to-model` exists.
"""

from __future__ import annotations

from autotune.redact.marks import LONGEST_MARK
from autotune.redact.redactor import MOST_GROWTH, Redactor
from autotune.redact.variables import without_surroundings

__all__ = ["LONGEST_MARK", "MOST_GROWTH", "Redactor", "without_surroundings"]
