# SPDX-License-Identifier: MIT
"""What a model may read of the workload's files: nothing outside, nothing secret, nothing that acts on being opened."""

from __future__ import annotations

import os
import random
import string
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotune.redact import Redactor
from autotune.tools import workload_files
from autotune.tools.workload_files import NotReadable, WorkloadFiles

TOKEN = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def reader(root: Path) -> WorkloadFiles:
    return WorkloadFiles(root, Redactor({}).text)


def whole(root: Path, path: str) -> str:
    """All pieces of a file, one after another."""
    read, text, offset = reader(root), "", 0
    while True:
        piece = read.read_piece(path, offset)
        text += str(piece["text"]).split("\n", 1)[1].rsplit("\n", 1)[0]
        if "next_offset" not in piece:
            return text
        offset = int(str(piece["next_offset"]))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 21_000))
def test_no_offset_cuts_a_secret_in_half(tmp_path: Path, offset: int) -> None:
    (tmp_path / "data.json").write_text(
        '{"pad": "' + "x" * 10_000 + f'", "k": "{TOKEN}", "rest": "' + "y" * 10_000 + '"}'
    )
    try:
        piece = str(reader(tmp_path).read_piece("data.json", offset)["text"])
    except NotReadable:
        return
    assert not any(TOKEN[at : at + 8] in piece for at in range(4, len(TOKEN) - 8))


@pytest.mark.parametrize("offset", range(60))
def test_a_value_keeps_its_label_while_it_is_judged(tmp_path: Path, offset: int) -> None:
    (tmp_path / "app.yaml").write_text('database_password:\n  "tr0ub4dor-and-3"\nport: 80\n' * 3)
    try:
        piece = str(reader(tmp_path).read_piece("app.yaml", offset)["text"])
    except NotReadable:
        return
    assert "ub4dor" not in piece


@pytest.mark.parametrize(
    "path",
    [
        "a/.vault-token", "auth.json", "AuthKey_1.p8", "x.keytab", "x.ovpn", "wallet.dat", "cookies.sqlite", "shadow",
        "secrets/launch.txt", "private_keys/a", "a/.ssh/config", "deep/my-credentials/x.txt", ".env",
        "Secrets/LAUNCH.txt", "a/passwords/b/c", "prod.kubeconfig",
        ".netrc~", ".npmrc.bak", "server.pem.old", ".pgpass.1", ".ssh.orig/config", "auth.json.20261127", "#.netrc#",
        ".my.cnf.dpkg-old", "tls.key.bak~", ".aws-backup/x",
    ],
)  # fmt: skip
def test_every_part_of_a_path_counts(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("launch code 00000000")
    with pytest.raises(NotReadable, match="may hold secrets"):
        reader(tmp_path).read_piece(path, 0)


def test_a_secret_under_an_innocent_link_is_refused_by_its_real_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / "notes.txt").symlink_to(".env")
    with pytest.raises(NotReadable, match="may hold secrets"):
        reader(tmp_path).read_piece("notes.txt", 0)


@pytest.mark.parametrize("path", ["/dev/zero", "../outside", "/etc/passwd", "/proc/self/environ", "up/outside", "link"])
def test_nothing_outside_is_read(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_text("not for the model")
    (inside / "up").symlink_to("..")
    (inside / "link").symlink_to("/etc/passwd")
    with pytest.raises(NotReadable, match="only files below"):
        reader(inside).read_piece(path, 0)


@pytest.mark.parametrize("inside", [True, False])
def test_a_pipe_is_never_opened(tmp_path: Path, inside: bool) -> None:
    """Whoever wants to write to it goes on waiting for a reader."""
    root = tmp_path / "root"
    root.mkdir()
    pipe = (root if inside else tmp_path) / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)))
    writer.start()
    try:
        for _ in range(20):
            with pytest.raises(NotReadable):
                reader(root).read_piece("pipe" if inside else "../pipe", 0)
        assert writer.is_alive()
    finally:
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # open until it is served, however late it comes
        writer.join()
        os.close(reading)


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_is_never_opened(tmp_path: Path) -> None:
    """A device that does not exist says ENXIO when it is opened: it is not even asked."""
    os.mknod(tmp_path / "device", 0o20600, os.makedev(251, 251))
    with pytest.raises(NotReadable, match="is not a regular file"):
        reader(tmp_path).read_piece("device", 0)


def test_what_was_checked_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes a link between the check and the reading gains nothing."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_text("not for the model")
    (root / "a.txt").write_text("harmless")
    content = workload_files._content

    def swap(place: int) -> bytes:
        (root / "a.txt").unlink()
        (root / "a.txt").symlink_to("../outside")
        return content(place)

    monkeypatch.setattr(workload_files, "_content", swap)
    assert "harmless" in str(reader(root).read_piece("a.txt", 0)["text"])


def test_pieces_are_the_whole_text(tmp_path: Path) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(5000)]
    text = "\n".join(words)
    (tmp_path / "words").write_text(text)
    assert whole(tmp_path, "words") == text


@pytest.mark.slow
def test_of_a_large_file_the_beginning_is_read_and_the_rest_named(tmp_path: Path) -> None:
    line = b"int x = 1;\n"
    (tmp_path / "large.c").write_bytes(line * (2 * workload_files.MOST_BYTES // len(line)))
    read = reader(tmp_path)
    last = read.read_piece("large.c", workload_files.MOST_BYTES - 100)
    assert "next_offset" not in last
    assert last["left_out"] == "what comes after the first 1 MiB"


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    read = reader(tmp_path)
    assert "old" in str(read.read_piece("a.txt", 0)["text"])
    path.write_text("newer")
    assert "newer" in str(read.read_piece("a.txt", 0)["text"])


@pytest.mark.parametrize("offset", [-1, 10**30])
def test_an_offset_that_cannot_be_says_what_can(tmp_path: Path, offset: int) -> None:
    (tmp_path / "a.txt").write_text("abc")
    with pytest.raises(NotReadable, match="from 0 to that"):
        reader(tmp_path).read_piece("a.txt", offset)


@pytest.mark.parametrize("path", ["", " ", "a\0b", "\ud800", "x" * 5000])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotReadable):
        reader(tmp_path).read_piece(path, 0)
