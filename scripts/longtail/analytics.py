# SPDX-License-Identifier: MIT
"""Batches over records: a group-by with a hot key, logs with a spike, a join with a product that everybody buys."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

from .kind import Job, Kind


class HotKey(Kind):
    """Sum by key, partition by partition; the hot key's partition is large."""

    name = "hotkey_aggregation"
    summary = "awk sums by key of partitions, one of them the hot key's"
    tools = ("awk",)
    start_up = 0.29
    long_name = "partition-hot.csv"
    ROWS = 72_000
    PROGRAM = """{ count[$1]++; sum[$1] += $2; if ($2 > most[$1]) most[$1] = $2 }
END { for (key in count) print key, count[key], sum[key] / count[key], most[key] }
"""

    def short_name(self, number: int) -> str:
        return f"partition-{number:02}.csv"

    def shared(self, directory: Path) -> None:
        (directory / "sum.awk").write_text(self.PROGRAM)

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        rows = (f"{_key(rng, hot=job.is_long)},{rng.randrange(10_000)}\n" for _ in range(round(self.ROWS * job.units)))
        (directory / job.name).write_text("".join(rows))

    def argv(self, job: Job) -> list[str]:
        return ["awk", "-F,", "-f", "sum.awk", job.name]


def _key(rng: Random, *, hot: bool) -> str:
    return "hot" if hot and rng.random() < 0.9 else f"key-{rng.randrange(200)}"


class Logs(Kind):
    """Parse web servers' logs hour by hour; in one hour somebody attacks."""

    name = "ddos_log_analysis"
    summary = "perl parses logs by hour, one of them of an attack"
    tools = ("perl",)
    start_up = 0.29
    long_name = "access-2026-03-02T15.log"
    LINES = 8000
    PROGRAM = r"""my (%requests, %bytes, %failed);
open my $log, '<', $ARGV[0] or die "$ARGV[0]: $!";
while (<$log>) {
    next unless /^(\d+\.\d+\.\d+\.\d+) \S+ \S+ \[([^\]]+)\] "(\w+) (\S+) [^"]*" (\d+) (\d+)/;
    my ($address, $path, $status, $size) = ($1, $4, $5, $6);
    $requests{$address}++;
    $bytes{$address} += $size;
    $failed{$path}++ if $status >= 500;
}
my @loudest = sort { $requests{$b} <=> $requests{$a} || $a cmp $b } keys %requests;
print "$_ $requests{$_} $bytes{$_}\n" for grep { defined } @loudest[0 .. 9];
print "$_ $failed{$_}\n" for sort keys %failed;
"""

    def short_name(self, number: int) -> str:
        return f"access-2026-02-{1 + number // 24:02}T{number % 24:02}.log"

    def shared(self, directory: Path) -> None:
        (directory / "parse.pl").write_text(self.PROGRAM)

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        lines = (self._request(rng, attack=job.is_long) for _ in range(round(self.LINES * job.units)))
        (directory / job.name).write_text("".join(lines))

    def _request(self, rng: Random, *, attack: bool) -> str:
        address = f"10.{rng.randrange(4) if attack else rng.randrange(250)}.{rng.randrange(250)}.7"
        path = "/login" if attack and rng.random() < 0.8 else f"/item/{rng.randrange(300)}"
        status = rng.choice((200, 200, 200, 304, 404, 503))
        return f'{address} - - [01/Mar/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} {rng.randrange(9000)}\n'

    def argv(self, job: Job) -> list[str]:
        return ["perl", "parse.pl", job.name]


class ViralProduct(Kind):
    """Join each product's events with its buyers; one product is everywhere."""

    name = "viral_product_analytics"
    summary = "sqlite3 joins a product's events with its buyers, one product being viral"
    tools = ("sqlite3",)
    start_up = 0.29
    long_name = "product-viral.db"
    EVENTS = 37_000
    QUERY = """SELECT buyer.country, event.kind, count(*), sum(event.amount), max(event.at)
FROM event JOIN buyer ON buyer.id = event.buyer
WHERE event.kind <> 'view' OR buyer.age > 30
GROUP BY buyer.country, event.kind ORDER BY 4 DESC;
"""

    def short_name(self, number: int) -> str:
        return f"product-{number:02}.db"

    def shared(self, directory: Path) -> None:
        (directory / "join.sql").write_text(self.QUERY)

    def write(self, directory: Path, job: Job, rng: Random) -> None:
        events = round(self.EVENTS * job.units)
        buyers = max(1, events // 4)
        with closing(sqlite3.connect(directory / job.name)) as store, store:
            store.execute("CREATE TABLE buyer (id INTEGER PRIMARY KEY, country TEXT, age INTEGER)")
            store.execute("CREATE TABLE event (buyer INTEGER, kind TEXT, amount INTEGER, at INTEGER)")
            people = ((number, f"c{rng.randrange(40)}", rng.randrange(18, 90)) for number in range(buyers))
            store.executemany("INSERT INTO buyer VALUES (?, ?, ?)", people)
            seen = (
                (rng.randrange(buyers), rng.choice(("view", "cart", "buy")), rng.randrange(999), at)
                for at in range(events)
            )
            store.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", seen)

    def argv(self, job: Job) -> list[str]:
        return ["sqlite3", "-readonly", job.name, ".read join.sql"]
