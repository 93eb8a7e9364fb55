#!/usr/bin/env bash
# Installs what a build and the tests need beside Rust, and says what it installs. What cannot be had is said and left
# out: the tests that need it then print SKIPPED with the reason.
#
#   deploy/tools.sh build    a C compiler and make
#   deploy/tools.sh bench    these, GNU time, docker-registry, and skopeo, crane and regsync to compare with
#   deploy/tools.sh test     these, the other Debian packages of the tests, and the Go tools
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Outside the checkout, so that a fresh clone finds what an older one built.
cache=${IMAGE_FACTORY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/image-factory}
missing=()

say() { printf 'tools: %s\n' "$*" >&2; }

# Never asks for a password: a test run must not stop in the middle to wait for one.
as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@" >"$log" 2>&1; }

# want PROGRAM PACKAGE
want() { command -v "$1" >/dev/null || missing+=("$2"); }

install_missing() {
    ((${#missing[@]})) || return 0
    say "installing Debian packages: ${missing[*]}"
    apt update || true # Old lists may do; if not, the next line says so.
    quietly apt install -y --no-install-recommends "${missing[@]}" && return 0
    tail -n 5 "$log" >&2
    say "not installed; by hand: apt-get install ${missing[*]}"
}

# Installs without starting what is installed: the tests start servers of their own.
quietly() {
    local policy=/usr/sbin/policy-rc.d status=0
    [[ -e $policy ]] && { "$@" && return 0 || return; }
    printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
    "$@" || status=$?
    as_root rm -f "$policy"
    return "$status"
}

# Unpacked, not installed: the package would start a registry on port 5000 of every interface, now and at each boot.
docker_registry() {
    command -v docker-registry >/dev/null || [[ -x $cache/bin/docker-registry ]] && return 0
    say "unpacking Debian's docker-registry into $cache"
    if unpack docker-registry || { apt update && unpack docker-registry; }; then
        mv "$scratch/usr/bin/docker-registry" "$cache/bin/docker-registry"
    else
        tail -n 5 "$log" >&2
        say "docker-registry cannot be had"
    fi
}

unpack() { (cd "$scratch" && apt-get -q download "$1" && dpkg-deb -x "$1"_*.deb .) >"$log" 2>&1; }

# go_tool NAME MODULE PACKAGE GO-ARGUMENT…: builds once what `go/NAME/go.mod` pins. The versioned name appears by a rename, so
# it is always whole; the plain name points to the version of this checkout.
go_tool() {
    local name=$1 module=$2 package=$3 version binary started=$SECONDS
    shift 3
    version=$(awk -v module="$module" '$1 == module { print $2 }' "$here/go/$name/go.mod")
    binary=$name-$version
    if [[ ! -x $cache/bin/$binary ]]; then
        say "building $binary (once)"
        if ! (cd "$here/go/$name" && CGO_ENABLED=0 GOFLAGS= go "$@" -o "$scratch/$name" "$package") >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            say "$name could not be built"
            return 0
        fi
        mv "$scratch/$name" "$cache/bin/$binary"
        say "built $binary in $((SECONDS - started)) s"
    fi
    ln -s "$binary" "$scratch/$name"
    mv -T "$scratch/$name" "$cache/bin/$name"
}

# An object store, in a Python environment of its own.
moto() {
    local name started=$SECONDS
    name=moto-$(sed -n 's/^moto.*==//p' "$here/python/moto.txt")
    if [[ ! -x $cache/$name/bin/moto_server ]]; then
        say "installing $name (once)"
        # Made where it is to stay, because its programs name their own place; whole once the last one is there.
        rm -rf "${cache:?}/$name"
        if ! { python3 -m venv "$cache/$name" && "$cache/$name/bin/pip" -q install -r "$here/python/moto.txt"; } >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            say "$name could not be installed"
            return 0
        fi
        say "installed $name in $((SECONDS - started)) s"
    fi
    ln -s "$name" "$scratch/moto"
    mv -T "$scratch/moto" "$cache/moto"
}

mode=${1:-}
case $mode in build | test | bench) ;; *) echo "usage: deploy/tools.sh build|bench|test" >&2 && exit 2 ;; esac

mkdir -p "$cache/bin"
exec 9>"$cache/lock"
flock 9 # Two at once would build everything twice, on the same cores.
scratch=$(mktemp -d "$cache/scratch.XXXXXX") # Beside `bin`, so that a move is a rename.
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

want cc build-essential
want make make
if [[ $mode == test ]]; then
    want git git
    want tmux tmux
    want chromium chromium
    want /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
    want redis-server redis-server
    compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || missing+=(postgresql)
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
fi
if [[ $mode != build ]]; then
    want /usr/bin/time time # By its path: the shell has a word of this name.
    want skopeo skopeo
    want openssl openssl
fi
if ! command -v apt-get >/dev/null; then
    say "no apt-get here; wanted, but not installed: ${missing[*]:-nothing} docker-registry"
    missing=()
fi
install_missing
[[ $mode != build ]] || exit 0

if command -v apt-get >/dev/null; then
    docker_registry
fi
if [[ $mode == bench ]]; then
    if command -v go >/dev/null; then
        go_tool crane github.com/google/go-containerregistry tool build -trimpath
        go_tool regsync github.com/regclient/regclient tool build -trimpath
    else
        say "no Go here: the bench leaves crane and regsync out"
    fi
    exit 0
fi
if command -v go >/dev/null; then
    conformance=github.com/opencontainers/distribution-spec/conformance
    go_tool conformance.test "$conformance" "$conformance" test -c
    go_tool olareg github.com/olareg/olareg tool build -trimpath
    go_tool registry github.com/distribution/distribution/v3 tool build -trimpath
else
    say "no Go here: the conformance suite, olareg and distribution v3 are left out"
fi
if python3 -c 'import ensurepip, venv' 2>/dev/null; then
    moto
else
    say "no Python with \`venv\` here: the object store is left out"
fi
