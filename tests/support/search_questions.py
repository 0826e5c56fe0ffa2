# SPDX-License-Identifier: MIT
"""Questions as people ask them, each with the schedulers that are right by what the catalogue says they are for.

`KNOWN` may be looked at when the search is changed, and was when it was made: the words beside the catalogue's tags
(`schedext.catalogue.finding`) come from whoever wrote these questions. `BLIND` was written last, measured once, and
nothing was changed for it: its figure is the one to believe. Whoever changes the search for one of its questions moves
it to `KNOWN` and writes another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question, and the names of the schedulers of which any is a right answer."""

    text: str
    right: frozenset[str]


def _asked(text: str, *right: str) -> Question:
    return Question(text, frozenset(right))


BUILDS = ("at_vtime", "at_batch", "at_guided")
GAMES = ("scx_lavd", "scx_cake", "scx_bpfland", "scx_rustland", "scx_p2dq")
CONTAINERS = ("scx_mitosis", "scx_layered", "scx_flatcg")
LAPTOPS = ("scx_lavd", "scx_bpfland", "scx_flash")
NUMA = ("scx_beerland", "scx_cosmos", "scx_p2dq", "scx_rusty")
SERVERS = ("scx_beerland", "scx_cosmos", "scx_p2dq", "scx_rusty", "scx_tickless")

KNOWN = (
    _asked("many short compiler processes", *BUILDS),
    _asked("my game stutters when something compiles in the background", *GAMES),
    _asked("database transactions per second", "scx_prev"),
    _asked("respect cgroup cpu.weight cheaply", "scx_flatcg"),
    _asked("keep the battery of my laptop alive while the desktop stays snappy", *LAPTOPS),
    _asked("virtual machines should not be disturbed by timer interrupts", "scx_tickless", "scx_central"),
    _asked("dual socket NUMA server", *NUMA),
    _asked("compress a lot of big files", "at_batch"),
    _asked("write a scheduler in user space", "scx_rustland", "scx_rlfifo", "scx_userland"),
    _asked("keep work on a few warm cores so that they clock high", "scx_nest"),
    _asked("hyperthreading siblings must only run the same tenant", "scx_pair"),
    _asked("a plain baseline to compare with", "at_fifo", "scx_simple"),
    _asked("numerical simulation that uses all cores for hours", "scx_tickless", "scx_central", "at_batch"),
    _asked("throughput on a big server with hundreds of cores", "scx_beerland", "scx_cosmos"),
    _asked("earliest deadline first", "scx_flash", "scx_flow"),
    _asked("nightly batch job, only the total run time matters", "at_batch"),
    _asked("short wake-up times for interactive programs beside CPU hogs", "at_interactive", "scx_bpfland",
           "scx_rustland", "scx_pandemonium"),
    _asked("jobs of very different length run in parallel", "at_batch", "at_guided"),
    _asked("Kubernetes pods", *CONTAINERS),
    _asked("stress my locking code with random delays", "scx_chaos"),
    _asked("long slices, few context switches", "at_batch"),
    _asked("keep tasks on their last CPU where the cache is warm", "scx_prev", "scx_cosmos", "scx_beerland"),
    _asked("music production with low latency plugins", "scx_flash", "scx_pandemonium"),
    _asked("responsive desktop while compiling", "scx_bpfland", "at_interactive", "scx_lavd", "scx_cake", "scx_flow"),
    _asked("MPI job on a compute cluster", "scx_tickless", "scx_central"),
    _asked("cargo test takes long because of one slow test", "at_guided"),
    _asked("gaming with Proton on Linux", *GAMES),
    _asked("podcast recording drops samples", "scx_flash", "scx_pandemonium"),
    _asked("thousands of fork and exec a second from a shell script", "at_vtime", "at_fifo", "scx_simple"),
    _asked("save power on battery", *LAPTOPS, "scx_nest"),
    _asked("streaming video while gaming", *GAMES, "scx_flash"),
    _asked("make -j16 on a machine with four cores", *BUILDS),
    _asked("audio crackles under load", "scx_flash", "scx_pandemonium", "scx_rustland", "scx_bpfland"),
    _asked("isolate containers from each other", *CONTAINERS),
    _asked("find race conditions in my program", "scx_chaos"),
    _asked("test suite with one very slow test that finishes last", "at_guided"),
    _asked("EPYC processor with several chiplets", "scx_rusty"),
    _asked("web server latency while batch jobs run beside it", "at_interactive", "scx_layered"),
    _asked("simplest scheduler to learn from", "scx_simple", "scx_rlfifo", "scx_userland", "scx_central", "scx_qmap",
           "scx_sdt", "scx_pair", "scx_forge"),
    _asked("training a neural network", "scx_cosmos", "scx_layered"),
    _asked("performance cores and efficiency cores", "scx_lavd", "scx_p2dq", "scx_bpfland"),
    _asked("processes with different nice values should share fairly", "at_vtime"),
    _asked("video conference and browser feel laggy", "scx_flash", "scx_bpfland", "scx_pandemonium", "scx_lavd",
           "at_interactive", "scx_rustland"),
    _asked("several services on one host, each with its own CPUs", "scx_mitosis", "scx_layered"),
    _asked("experiment with exchangeable scheduling policies", "scx_forge"),
    _asked("identical jobs in the order in which they arrive", "at_fifo"),
    _asked("the machine is almost idle and few tasks wake now and then", "scx_nest"),
    _asked("postgres on a small machine", "scx_prev"),
    _asked("a scheduler that adapts itself, without any settings", "scx_pandemonium", "scx_flow"),
    _asked("first person shooter frame times", *GAMES),
    _asked("try out kernel features of sched_ext", "scx_qmap", "scx_sdt"),
    _asked("run the longest chain of work first", "at_guided"),
    _asked("avoid moving tasks between L3 caches", "scx_rusty", "scx_p2dq", "scx_beerland"),
    _asked("requests per second of a web server", *SERVERS),
    _asked("layers of tasks by process name or user with shares of their own", "scx_layered"),
    _asked("one CPU makes all decisions for the others", "scx_central", "scx_tickless"),
    _asked("parallel gzip of log files", "at_batch"),
    _asked("even, predictable waiting times", "scx_flash"),
    _asked("noisy neighbours on a shared host", *CONTAINERS),
    _asked("building LLVM", *BUILDS),
    _asked("Steam Deck", *GAMES),
    _asked("scientific computing without ticks", "scx_tickless", "scx_central"),
    _asked("ffmpeg transcoding overnight", "at_batch", "at_fifo", "scx_p2dq", "scx_rusty", "scx_tickless"),
    _asked("npm install and webpack bundling", *BUILDS),
    _asked("Rocket League drops frames", *GAMES),
    _asked("VoIP calls break up when the CPU is busy", "scx_flash", "scx_pandemonium", "scx_rustland", "scx_bpfland"),
    _asked("microservices steal CPU from each other", *CONTAINERS),
    _asked("Threadripper with four CCDs", "scx_rusty"),
    _asked("nginx p99 response time next to a backup job", "at_interactive", "scx_layered"),
    _asked("ThinkPad gets hot and loud", *LAPTOPS, "scx_nest"),
    _asked("weather model in Fortran", "scx_tickless", "scx_central"),
    _asked("concurrency bug that shows only once a week", "scx_chaos"),
    _asked("pytest -n 8 where one file takes half of the time", "at_guided"),
    _asked("queue of equal work items", "at_fifo"),
    _asked("renice does not help, who gets how much CPU", "at_vtime"),
    _asked("Intel hybrid CPU, Alder Lake", "scx_lavd", "scx_p2dq"),
    _asked("PyTorch data loaders that feed a GPU", "scx_cosmos", "scx_layered"),
    _asked("mostly sleeping system, single threaded bursts should run at turbo", "scx_nest"),
    _asked("MySQL", "scx_prev"),
    _asked("I want to understand how sched_ext works", "scx_simple", "scx_rlfifo", "scx_userland", "scx_central",
           "scx_qmap", "scx_sdt", "scx_pair", "scx_forge", "scx_rustland"),
    _asked("qemu guests", "scx_tickless", "scx_central"),
    _asked("mouse pointer freezes while I link a large binary", "at_interactive", "scx_bpfland", "scx_lavd", "scx_cake",
           "scx_flow", "scx_flash"),
    _asked("fair shares for nested control groups", "scx_flatcg"),
    _asked("tar and zstd of a home directory", "at_batch"),
    _asked("pieces to combine: a queue for each core, an order, a search for idle cores", "scx_forge"),
    _asked("memcached on 128 threads", *SERVERS),
    _asked("real-time strategy game with many units", *GAMES),
    _asked("recording a guitar", "scx_flash", "scx_pandemonium", "scx_rustland", "scx_bpfland"),
)  # fmt: skip

DESKTOP = ("at_interactive", "scx_bpfland", "scx_lavd", "scx_flash", "scx_flow", "scx_cake", "scx_rustland",
           "scx_cosmos", "scx_pandemonium", "scx_p2dq")  # fmt: skip
AUDIO = ("scx_flash", "scx_pandemonium", "scx_rustland", "scx_bpfland")
BLIND = (
    _asked("dotnet build of a large solution", *BUILDS),
    _asked("go test ./... with an integration test that takes minutes", "at_guided"),
    _asked("calculate fractals on all cores", "at_batch", "at_fifo", "scx_tickless", "scx_central", "scx_rusty",
           "scx_p2dq"),
    _asked("Counter-Strike feels choppy", *GAMES),
    _asked("Spotify skips when I unzip something", *AUDIO),
    _asked("Oracle database on a two core box", "scx_prev"),
    _asked("LXC guests fight for CPU", *CONTAINERS),
    _asked("my netbook runs out of juice", *LAPTOPS, "scx_nest"),
    _asked("eight socket Xeon", *NUMA),
    _asked("7950X with two chiplets", "scx_rusty"),
    _asked("molecular dynamics with GROMACS", "scx_tickless", "scx_central"),
    _asked("LLM inference server", "scx_cosmos", "scx_layered"),
    _asked("Firefox scrolls badly during a backup", *DESKTOP),
    _asked("find heisenbugs by shaking up thread timing", "scx_chaos"),
    _asked("which scheduler is the easiest to read", "scx_simple", "scx_rlfifo", "scx_userland", "scx_central",
           "scx_qmap", "scx_sdt", "scx_pair", "scx_forge"),
    _asked("a hundred equal simulations, nothing fancy", "at_fifo", "at_batch", "scx_tickless", "scx_central"),
    _asked("background indexing with nice 19 should yield to my work", "at_vtime", "at_interactive"),
    _asked("raytracing, each frame takes a different time", "at_batch", "at_guided"),
    _asked("Firecracker microVMs", "scx_tickless", "scx_central"),
    _asked("Snapdragon laptop with prime cores", *LAPTOPS, "scx_p2dq"),
    _asked("docker compose stack where every service gets fixed CPUs", "scx_mitosis", "scx_layered"),
    _asked("cpu.shares in a hierarchy of slices", *CONTAINERS),
    _asked("RPC server with a lot of communication", *SERVERS),
    _asked("emulating a PlayStation", *GAMES),
    _asked("screen capture and webcam at the same time", *AUDIO),
    _asked("a CI runner that compiles C++", *BUILDS),
)  # fmt: skip
