# SPDX-License-Identifier: MIT
# Sourced by the other scripts: makes the virtual environment, installs what is missing.
# Needs $top (the checkout, as a physical path). No step costs anything once a stamp shows that it was done.
#
# What always holds: one start at a time changes .venv (a lock); an unfinished change is marked, and the next start makes
# it anew, however the first one ended.

say() { printf 'autotune setup: %s\n' "$*" >&2; }

die() {
    local full
    full=$(full_disk)
    say "${full:-$*}"
    exit 1
}

full_disk() {
    local left_kb
    { read -r _ && read -r _ _ _ left_kb _; } < <(df -Pk "$top" 2> /dev/null) || return 0
    case $left_kb in '' | *[!0-9]*) return ;; esac
    [ "$left_kb" -gt 20000 ] || echo "the disk of $top is full; free about 500 MB there and start again"
}

# What is started would be given other files under their numbers; bash itself leaves the script open there.
is_open() { [ -L "/proc/self/fd/$1" ] && ! [ "/proc/self/fd/$1" -ef "$0" ]; }
is_open 0 || exec < /dev/null
is_open 1 || exec > /dev/null
is_open 2 || exec 2> /dev/null

venv=$top/.venv
unfinished=$venv/.unfinished # there from before the first change to .venv until after the last
lock=

interrupted() {
    if [ -n "$lock" ]; then say "interrupted; the next start makes it anew"; else echo "autotune: session: interrupted." >&2; fi
    exit 130
}
trap interrupted INT # what is started by exec does not get it

# Children inherit the lock on purpose: a pip that outlives a killed start is still changing .venv.
setup_lock() {
    [ -z "$lock" ] || return 0
    [ -w "$top" ] || die "$top cannot be written; run it once as a user who may write it"
    { true > "$top/.venv.lock"; } 2> /dev/null || die "$top/.venv.lock cannot be written; remove it and start again"
    exec {lock}> "$top/.venv.lock"
    command -v flock > /dev/null || return 0
    flock -n "$lock" || {
        say "waiting for another start that is setting up"
        flock "$lock"
    }
}

# Before anything that stays: the command itself must not have the lock.
setup_done() {
    [ -n "$lock" ] || return 0
    exec {lock}>&-
    lock=
}

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

path_is_usable() { # PYTHON
    case $top in *:* | *$'\n'*) return 1 ;; esac
    "$1" -c 'import os, sys; os.fsencode(sys.argv[1]).decode()' "$top" 2> /dev/null
}

# stamp_is_current GROUP FILE...: true when the group was set up here from these very files
stamp_is_current() {
    local stamp=$venv/.stamp-$1 file place=
    shift
    [ -f "$stamp" ] || return 1
    place=$(< "$stamp")
    [ "$place" -ef "$top" ] || return 1
    for file; do [ "$stamp" -nt "$file" ] || return 1; done
}

stamp() { { printf '%s\n' "$top" > "$venv/.stamp-$1"; } 2> /dev/null || die "$venv cannot be written"; }

venv_is_current() { # [extras]
    [ -x "$venv/bin/python" ] && [ ! -e "$unfinished" ] || return 1
    stamp_is_current "venv${1:-}" "$top/pyproject.toml" "$top/scripts/launcher" "$(locked_packages "${1:-}")" ||
        { [ -z "${1:-}" ] && stamp_is_current venvdev "$top/pyproject.toml" "$top/scripts/launcher" "$(locked_packages dev)"; }
}

# Prints why .venv must be made anew, if it must. A virtual environment contains absolute paths: one that was copied
# with its checkout runs the code of the original.
venv_fault() {
    local stamp place
    [ -e "$venv" ] || [ -L "$venv" ] || return 0
    for stamp in "$venv"/.stamp-*; do
        [ -f "$stamp" ] || continue
        place=$(< "$stamp")
        [ -z "$place" ] || [ "$place" -ef "$top" ] || { echo "it belongs to $place" && return; }
    done
    if [ -e "$unfinished" ] || [ ! -x "$venv/bin/autotune" ]; then echo "it was not finished"; return; fi
    [ -x "$venv/bin/python" ] || echo "its Python is gone"
}

# The mark that it is whole goes first, since this may be killed too.
drop_venv() {
    rm -f "$venv"/.stamp-* "$venv/bin/autotune"
    rm -rf "$venv"
}

setup_venv() { # [extras]
    venv_is_current "${1:-}" && return
    local python fault errors was_whole=yes
    setup_lock
    venv_is_current "${1:-}" && return
    python=$(setup_python) || exit 1
    path_is_usable "$python" || die "Python cannot use $top: move it to a path in UTF-8 without : and line breaks"
    fault=$(venv_fault)
    [ -z "$fault" ] || {
        say "remaking .venv: $fault"
        drop_venv
    }
    say "setting up the virtual environment .venv"
    [ -e "$venv" ] || was_whole=
    { mkdir -p "$venv" && : > "$unfinished"; } 2> /dev/null || die "$venv cannot be written"
    # Errors are shown when a step failed, and not when it was interrupted: then they are a traceback.
    [ -n "$was_whole" ] || errors=$("$python" -m venv "$venv" 2>&1) || {
        printf '%s\n' "$errors" >&2
        drop_venv
        die "a virtual environment could not be made with $python; name another Python in AUTOTUNE_PYTHON"
    }
    errors=$(install_python_packages "${1:-}" "$was_whole" 2>&1) || {
        printf '%s\n' "$errors" >&2
        exit 1
    }
    stamp "venv${1:-}"
    rm -f "$unfinished"
    [ -n "$was_whole" ] || say_how_to_call_it
}

locked_packages() { printf '%s\n' "$top/scripts/requirements${1:+-$1}.txt"; } # [extras]; made by scripts/lock

# Packages come by hash only. What builds the checkout is among them: pip would fetch that unchecked.
install_python_packages() { # EXTRAS WAS_WHOLE
    local code=0
    pip_install --require-hashes -r "$(locked_packages "$1")" || code=$?
    if [ $code != 0 ]; then
        # pip changes nothing before it has all that it needs: what was whole before it failed by itself still is.
        [ -z "$2" ] || [ $code -ge 128 ] || rm -f "$unfinished"
        die "the Python packages could not be installed; check the network and try again"
    fi
    pip_install --no-deps --no-build-isolation -e . || die "autotune could not be installed into $venv; see above"
}

pip_install() { (cd "$top" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"); }

# Nothing is written into the user's directories without a request.
say_how_to_call_it() {
    command -v autotune > /dev/null || say "to call it 'autotune' from everywhere: $(printf %q "$top/scripts/install")"
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

packages_are_current() { # STAMP
    stamp_is_current "packages-$1" "$top/scripts/packages.txt" ||
        { [ "$1" = run ] && stamp_is_current packages-test "$top/scripts/packages.txt"; }
}

setup_packages() { # STAMP GROUPS (a pattern)
    if [ "$2" != base ] && packages_are_current "$1"; then return; fi
    if [ ! -w "$top" ] && [ -z "$(missing_packages "$2" 2> /dev/null)" ]; then return; fi # another user's checkout
    setup_lock
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
    apt_get() { $root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" {lock}>&-; } # what it starts may outlive us
    apt_get update >&2 || say "the list of packages could not be refreshed; going on with the old one"
    # Twice: on some machines a clean-up hook takes archives away while they are being installed, and an installation
    # that was killed must be ended first.
    apt_get install -y --no-install-recommends "$@" > /dev/null || {
        $root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >&2 {lock}>&- || true
        apt_get install -y --no-install-recommends "$@" >&2
    } || die "installing failed; try it by hand: ${root:+sudo }apt-get install $*"
}

kernel_is_there() {
    [ -d /sys/kernel/sched_ext ] && [ -z "${AUTOTUNE_REQUIRE_VM:-}" ] && return
    local home=${HOME-} cache # as autotune finds it: without HOME the account's, and no relative path
    case $home in /*) ;; *) home=$(unset HOME && echo ~) ;; esac
    case ${XDG_CACHE_HOME:-} in /*) cache=$XDG_CACHE_HOME ;; *) cache=$home/.cache ;; esac
    grep -qs '"format": 3' "$cache"/autotune/kernels/*/manifest.json
}

setup_kernel() {
    kernel_is_there && return
    say "fetching a kernel with sched_ext for the micro-VM (about 170 MB, kept in the cache)"
    "$venv/bin/autotune" vm setup >&2 || exit 1
}

# setup_for ARGUMENT...: what this command line of autotune needs, and no more. Its own parser decides.
setup_for() {
    packages_are_current run && kernel_is_there && return
    local needs
    needs=$("$venv/bin/python" "$top/scripts/needs.py" "$@" 2> /dev/null) || needs='packages kernel'
    case $needs in *packages*) setup_packages run run ;; esac
    case $needs in *kernel*) setup_kernel ;; esac
}

# Real schedulers for the tests: built once (some minutes), and kept in the store.
setup_schedulers() {
    local home=${HOME-~}
    command -v cargo >/dev/null || PATH=$PATH:$home/.cargo/bin
    "$venv/bin/autotune" schedulers install scx_bpfland scx_cosmos >&2 ||
        die "the tests need two real schedulers, which could not be built; the line above says why"
}
