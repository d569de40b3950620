# What ./demo and ./test need from the machine; to be sourced by bash.
# What is missing is installed, if this is a Debian and we may.

readonly has_venv='import ensurepip, venv'
readonly has_headers='import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'

# An interpreter of this version (like 3.12), from the PATH or from pyenv, in which the Python code
# of the second argument runs; fails if there is none.
python_of_version() {
    local candidate root=${PYENV_ROOT:-$HOME/.pyenv}
    for candidate in "python$1" "$root"/versions/"$1".*/bin/python"$1"; do
        if "$candidate" -c "$2" >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# The interpreter to build with: the oldest that can.
building_python() {
    local version
    for version in 3.11 3.12 3.13 3.14; do
        python_of_version "$version" "$has_venv; $has_headers" && return 0
    done
    return 1
}

# Install Debian packages, as root or through sudo.
apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    [ "$(id -u)" = 0 ] || apt=(sudo -n "${apt[@]}")
    if ! command -v apt-get >/dev/null; then
        echo "Please install what these packages of Debian hold, then try again: $*" >&2
        return 1
    fi
    echo "installing: $*"
    "${apt[@]}" update >/dev/null
    "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
}

# Whether the clang that is there can build fuzzers.
has_libfuzzer() {
    [ -e "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")" ]
}

# Install what is missing of these: cc, python, cmake, ninja, mkfs.ext4, libfuzzer (once clang is
# there), and any command that has the name of its package (clang, spin, strace).
need() {
    local tool missing=()
    for tool in "$@"; do
        case $tool in
            python) building_python >/dev/null || missing+=(python3 python3-venv python3-dev) ;;
            cc) command -v cc >/dev/null || missing+=(gcc libc6-dev) ;;
            mkfs.ext4) # not on every user's PATH
                [ -x /sbin/mkfs.ext4 ] || [ -x /usr/sbin/mkfs.ext4 ] || missing+=(e2fsprogs)
                ;;
            libfuzzer)
                has_libfuzzer || missing+=("libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev")
                ;;
            ninja) command -v ninja >/dev/null || missing+=(ninja-build) ;;
            *) command -v "$tool" >/dev/null || missing+=("$tool") ;;
        esac
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}
