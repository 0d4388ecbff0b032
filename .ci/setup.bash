# shellcheck shell=bash
# What ./demo and ./test share: packages from Debian and one virtual environment, .venv.
#
# Takes      $root, the folder of the checkout
# Gives      need COMMAND:PACKAGE...   every command is there, or the function fails
#            venv run|test             $root/.venv holds the gateway, for test with its tools
# Says       one line a step; what a step printed is shown only when it fails
# References Debian policy 9.3.3.2 (invoke-rc.d and policy-rc.d)

export PATH=$PATH:/usr/sbin:/sbin   # Orthanc lies there, and a user's PATH may end before it

say() {  # ENGLISH CHINESE
    case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
        zh*) printf '%s\n' "$2" >&2 ;;
        *) printf '%s\n' "$1" >&2 ;;
    esac
}

quietly() {  # COMMAND...
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        say "This failed: $*" "这一步失败了：$*"
        return 1
    fi
    rm -f "$log"
}

as_root() {  # COMMAND...
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || return 1
    sudo -n true 2>/dev/null || [ -t 0 ]   # sudo may ask for its password only where somebody can type it
}

# A package installed for a test must not start a server, now (policy-rc.d) or at the next boot.
# shellcheck disable=SC2016  # it expands as root
INSTALL='
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install "$@"
    for package; do
        [ "$package" != orthanc ] || update-rc.d orthanc disable
    done
'

packages_for() {  # COMMAND:PACKAGE...  prints the packages whose command, or file by its path, is missing
    local pair
    for pair; do
        case ${pair%%:*} in
            /*) [ -e "${pair%%:*}" ] ;;
            *) command -v "${pair%%:*}" >/dev/null ;;
        esac || printf '%s\n' "${pair#*:}"
    done | sort -u
}

install_packages() {  # PACKAGE...
    if ! may_install; then
        say "Missing: $*. Install it with: sudo apt-get install $*" \
            "缺少：$*。请执行：sudo apt-get install $*"
        return 1
    fi
    say "Installing with apt: $*" "正在用 apt 安装：$*"
    quietly as_root env DEBIAN_FRONTEND=noninteractive sh -euc "$INSTALL" install_packages "$@"
}

need() {  # COMMAND:PACKAGE...
    local missing
    mapfile -t missing < <(packages_for "$@")
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

new_enough() {  # PYTHON
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {  # Debian's own first: apt can complete it
    local python
    for python in /usr/bin/python3 python3; do
        if new_enough "$python"; then
            printf '%s\n' "$python"
            return
        fi
    done
    say "Python 3.11 or newer is needed (Debian 12 has it: sudo apt-get install python3)" \
        "需要 Python 3.11 或更新版本（Debian 12 自带：sudo apt-get install python3）"
    return 1
}

make_venv() {
    local python
    python=$(find_python) || return
    "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || return
    say "Making .venv with $("$python" --version)" "正在用 $("$python" --version) 建立 .venv"
    quietly "$python" -m venv --clear "$root/.venv"
}

fingerprint() {  # what the installation depends on: a moved checkout needs another one, too
    {
        printf '%s\n' "$root"
        "$root/.venv/bin/python" --version
        cat "$root/setup.cfg" "$root/pyproject.toml"
    } | sha256sum
}

installed() {  # run|test: what a test needs contains what a run needs, so the two never undo each other
    local now kind
    now=$(fingerprint)
    for kind in "$1" test; do
        [ "$(cat "$root/.venv/installed-for-$kind" 2>/dev/null)" != "$now" ] || return 0
    done
    return 1
}

fill_venv() {  # run|test
    local what=$root
    [ "$1" = run ] || what="$root[test]"
    say "Installing the gateway and what it stands on (once)" "正在安装网关及其依赖（只需一次）"
    quietly "$root/.venv/bin/python" -m pip install --quiet --editable "$what" || return
    fingerprint >"$root/.venv/installed-for-$1"
}

venv() {  # run|test; one at a time, when ./demo and ./test start together
    (
        flock 9
        new_enough "$root/.venv/bin/python" || make_venv || exit
        installed "$1" || fill_venv "$1"
    ) 9<"$root"
}
