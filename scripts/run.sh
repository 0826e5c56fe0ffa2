# SPDX-License-Identifier: MIT
# Sourced by scripts/autotune for `autotune run`: nothing is set up or printed then, and the command finds the signals
# and the environment that this shell was given. Needs $top. Returns where there is more to do than to run a command.

run_command() { # OPTION... COMMAND...: as if autotune was not there
    while [ $# -gt 0 ]; do
        case $1 in
            --) shift && break ;;
            -v | --verbose) shift ;;
            -*) return ;; # help, --require, or what autotune itself must answer
            *) break ;;
        esac
    done
    [ $# -eq 0 ] || exec "$@"
}

run_at_once() {
    local name mask blocked= ignored= environ
    while read -r name mask; do
        case $name in SigBlk:) blocked=$mask ;; SigIgn:) ignored=$mask && break ;; esac
    done 2> /dev/null < "/proc/$$/status"
    environ=$(env --block-signal=INT base64 -w0 "/proc/$$/environ" 2> /dev/null) || return 0
    [ ${#environ} -lt 100000 ] || environ=-
    AUTOTUNE_GIVEN=$blocked:$ignored:$environ exec env --block-signal=INT "$top/.venv/bin/python" -I \
        "$top/.venv/bin/autotune" "$@"
}

if [ ! -x "$top/.venv/bin/autotune" ] || [ -e "$top/.venv/.unfinished" ]; then
    run_command "${@:2}"
elif [ $# -lt 1000 ]; then
    run_at_once "$@"
fi
