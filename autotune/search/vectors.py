# SPDX-License-Identifier: MIT
"""Word vectors: the extra `search`. The weights (16 MB, 32,000 pieces of words in 256 numbers each) and the tokenizer
are those in the wheel of wordllama. Its own loader looks for others in the network, so it is never imported: its files
are read here.

A text is the mean of the vectors of its pieces; two texts are as alike as the cosine between them. Nothing of a text
leaves the machine. numpy, safetensors and tokenizers are imported only when something is searched.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune.search.documents import MOST_FIELD, Searchable, gist

if TYPE_CHECKING:
    import numpy

INSTALL = "pip install 'autotune-sched[search]'"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
TENSOR = "embedding.weight"
NEEDED = ("numpy", "safetensors", "tokenizers")
LEAST_LIKENESS = 0.3
"""Below it two texts have nothing to do with each other: of the known questions about schedulers, each is at least 0.31
like the best; of texts about anything else, most are less."""


def place() -> Path | None:
    """Return the directory of the weights; None where the extra is not installed. Nothing is imported for it."""
    try:
        found = importlib.util.find_spec("wordllama")
        complete = found is not None and all(importlib.util.find_spec(name) is not None for name in NEEDED)
    except (ImportError, ValueError):
        return None
    if not complete or found is None:
        return None
    tops = [Path(top) for top in found.submodule_search_locations or ()]
    return next((top for top in tops if (top / WEIGHTS).is_file() and (top / TOKENIZER).is_file()), None)


def available() -> bool:
    """Return whether the extra `search` is installed."""
    return place() is not None


@functools.cache
def _model(top: Path) -> tuple[Any, Any]:
    """Return tokenizer and weights. Raises OSError, ValueError and what the libraries raise for damaged files."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(top / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, load_file(top / WEIGHTS)[TENSOR]


def vectors(texts: Sequence[str], top: Path) -> numpy.ndarray[Any, Any]:
    """Return a vector of length 1 for each text; of zeros for one without any piece."""
    import numpy

    tokenizer, weights = _model(top)
    found = numpy.zeros((len(texts), weights.shape[1]), dtype=numpy.float32)
    for number, text in enumerate(texts):
        pieces = tokenizer.encode(_plain(text), add_special_tokens=False).ids
        if pieces:
            mean = weights[pieces].astype(numpy.float32).mean(axis=0)
            found[number] = mean / (float(numpy.linalg.norm(mean)) or 1.0)
    return found


def _plain(text: str) -> str:
    return text[:MOST_FIELD].encode("utf-8", "replace").decode()


def alike(documents: Sequence[Searchable], query: str) -> list[tuple[str, float]]:
    """Return the documents that are like the query, with how much (at most 1), most alike first: of a document its best
    field counts. Empty where the extra is not installed or cannot be used, and for an empty query."""
    top, wanted = place(), gist(query)
    if top is None or not wanted or not documents:
        return []
    fields = [(number, text) for number, one in enumerate(documents) for text in (*one.heads, *one.texts)]
    try:
        likeness = vectors([text for _, text in fields], top) @ vectors([wanted], top)[0]
    except Exception:  # damaged or foreign files: these libraries raise classes of their own, also of Rust
        return []
    best = [-1.0] * len(documents)
    for (number, _), one in zip(fields, likeness, strict=True):
        best[number] = max(best[number], float(one))
    order = sorted(range(len(documents)), key=lambda number: -best[number])
    return [(documents[number].key, best[number]) for number in order if best[number] >= LEAST_LIKENESS]
