# SPDX-License-Identifier: MIT
"""A small C project to build: many small files, and one large file that `make` comes to last."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from pathlib import Path

from autotune import durable, resources

MODULES = 24
FUNCTIONS = 5
"""Functions of a small file."""
LARGE = 12.0
"""Functions of the large file, in small files."""

MAKEFILE = """SOURCES := $(sort $(wildcard *.c))
project: $(SOURCES:.c=.o)
	cc -o $@ $^
%.o: %.c project.h
	cc -O2 -c -o $@ $<
clean:
	rm -f *.o project
.PHONY: clean
"""
FUNCTION = """
long {name}(const long *values, long count)
{{
	long total = {start};

	for (long i = 0; i < count; i++) {{
		if (values[i] % {divisor} == {rest})
			total += values[i] * {factor};
		else if (total > {limit})
			total -= values[i] >> {shift};
		else
			total ^= {mask} + i;
	}}
	return total;
}}
"""


def make(scale: float = 1.0, under: Path | None = None) -> Path:
    """Return the project's directory, made if it is not there, under `under` (default: the cache). `scale` is the
    length of its files. Raises ValueError, OSError."""
    if not 0.01 <= scale <= 100.0:
        raise ValueError("a project has a scale of 0.01 to 100")
    directory = (under or resources.cache_dir() / "batches") / f"project-{scale:g}-{_code()}"
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        _write(scale, directory)
    return directory


def _code() -> str:
    """Return a digest of the code that makes the project: what other code made is not used."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def _write(scale: float, directory: Path) -> None:
    """Make the directory, whole or not at all."""
    draft = directory.with_name(f"{durable.DRAFT_PREFIX}{directory.name}-{os.getpid()}")
    draft.mkdir()
    try:
        few, many = (max(1, round(FUNCTIONS * units * scale)) for units in (1.0, LARGE))
        names = {f"module_{number:02}": few for number in range(1, MODULES + 1)} | {"tables": many}
        for name, functions in names.items():
            (draft / f"{name}.c").write_text(_source(name, functions))
        (draft / "project.h").write_text("".join(f"long {name}_0(const long *values, long count);\n" for name in names))
        (draft / "zz_main.c").write_text(_main(list(names)))
        (draft / "Makefile").write_text(MAKEFILE)
        os.rename(draft, directory)
    except OSError:
        if not directory.is_dir():  # else somebody else was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _source(name: str, functions: int) -> str:
    rng = random.Random(name)
    parts = ['#include "project.h"\n']
    for number in range(functions):
        chosen = {key: rng.randrange(2, 60) for key in ("start", "divisor", "rest", "factor", "limit", "shift", "mask")}
        parts.append(FUNCTION.format(name=f"{name}_{number}", **chosen))
    return "".join(parts)


def _main(names: list[str]) -> str:
    calls = "".join(f"\ttotal += {name}_0(values, 4);\n" for name in names)
    body = f"\tlong values[] = {{1, 2, 3, 4}}, total = 0;\n\n{calls}\treturn total == 42;\n"
    return f'#include "project.h"\n\nint main(void)\n{{\n{body}}}\n'
