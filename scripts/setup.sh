# SPDX-License-Identifier: MIT
# Sourced by scripts/autotune and scripts/test: makes the virtual environment, installs what is missing.
# Needs $top (the checkout). Nothing here costs anything once a stamp says that it was done.

say() { printf 'autotune setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# A Python that autotune runs under and that can make a virtual environment; fails when there is none.
find_python() {
    local name
    for name in "${AUTOTUNE_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

setup_python() {
    find_python && return
    setup_packages python base >&2
    find_python || die "Python 3.10 or later with venv was not found; install it: apt-get install python3 python3-venv"
}

# stamp_is_current GROUP FILE...: true when the group was set up here from these very files
stamp_is_current() {
    local stamp=$top/.venv/.stamp-$1 file place=
    shift
    [ -f "$stamp" ] || return 1
    read -r place < "$stamp" || true
    [ "$place" = "$top" ] || return 1
    for file; do [ "$stamp" -nt "$file" ] || return 1; done
}

stamp() { printf '%s\n' "$top" > "$top/.venv/.stamp-$1"; }

# A virtual environment holds absolute paths: one that came here with a copied checkout runs the code of the other.
drop_foreign_venv() {
    local place
    place=$(cat "$top"/.venv/.stamp-venv* 2>/dev/null | sort -u) || true
    case $place in '' | "$top") return ;; esac
    say "remaking .venv: it belongs to $place"
    rm -rf "$top/.venv"
}

setup_venv() { # [extras]
    local group=venv${1:-}
    stamp_is_current "$group" "$top/pyproject.toml" && return
    local python
    python=$(setup_python) || exit 1
    drop_foreign_venv
    say "setting up the virtual environment .venv"
    if [ ! -x "$top/.venv/bin/python" ]; then
        "$python" -m venv "$top/.venv" || {
            rm -rf "$top/.venv"
            die "a virtual environment could not be made with $python; name another Python in AUTOTUNE_PYTHON"
        }
    fi
    "$top/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$top${1:+[$1]}" ||
        die "the Python packages could not be installed; check the network and try again"
    stamp "$group"
}

missing_packages() { # GROUPS (a pattern)
    local package group purpose
    while read -r package group purpose; do
        case $package in '' | '#'*) continue ;; esac
        case $group in $1) ;; *) continue ;; esac
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
            *' installed') ;;
            *)
                say "$package is missing: it $purpose"
                printf '%s\n' "$package"
                ;;
        esac
    done < "$top/scripts/packages.txt"
}

setup_packages() { # STAMP GROUPS (a pattern)
    if [ "$2" != base ] && stamp_is_current "packages-$1" "$top/scripts/packages.txt"; then return; fi
    command -v dpkg-query >/dev/null || {
        say "this is not Debian: see 'autotune doctor' for what must be installed by hand"
        return 0
    }
    local missing
    missing=$(missing_packages "$2")
    [ -z "$missing" ] || install_packages $missing
    [ "$2" = base ] || stamp "packages-$1"
}

install_packages() { # PACKAGE...
    local root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "root is needed to install them, and there is no sudo; as root: apt-get install $*"
        sudo -n true 2>/dev/null || [ -t 0 ] ||
            die "root is needed to install them, and sudo wants a password; as root: apt-get install $*"
        root=sudo
    fi
    say "installing with ${root:+sudo }apt-get: $*"
    $root apt-get update -qq >&2 || say "the list of packages could not be refreshed; going on with the old one"
    # Twice: on some machines a clean-up hook takes archives away while they are being installed.
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
        die "installing failed; try it by hand: ${root:+sudo }apt-get install $*"
}

setup_kernel() {
    [ -d /sys/kernel/sched_ext ] && [ -z "${AUTOTUNE_REQUIRE_VM:-}" ] && return
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/autotune/kernels
    grep -qs '"format": 3' "$cache"/*/manifest.json && return
    say "fetching a kernel with sched_ext for the micro-VM (about 170 MB, kept in the cache)"
    "$top/.venv/bin/autotune" vm setup >&2 || exit 1
}

# Real schedulers for the tests: built once (some minutes), and kept in the store.
setup_schedulers() {
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    "$top/.venv/bin/autotune" schedulers install scx_bpfland scx_cosmos >&2 ||
        die "the tests need two real schedulers, which could not be built; the line above says why"
}
