#!/usr/bin/env bash
# Starts a real registry for a test, on a free port of the loopback, with all its files in one folder.
#
#   deploy/serve.sh docker-registry|registry|olareg DIR [--tls] [--password] [--access-log]
#
# `docker-registry` is Debian's, `registry` is distribution v3. The script becomes the server (exec): the pid that
# started it is the one to kill. On stdout stands one line, `address=127.0.0.1:PORT`, once the server listens, and then
# nothing more; the end of stdout without that line means that it did not start, and DIR/log says why. Exit code 77
# means that the program is not on this machine.
#
# With --tls it serves DIR/server.pem with DIR/server-key.pem, signed by the authority DIR/ca.crt with DIR/ca-key.pem;
# what of these is not there is made. So DIR is also a folder for skopeo's --cert-dir.
#
# With --password it lets only `robot` in, by HTTP Basic with the password `secret`. olareg has no such thing.
#
# With --access-log (not olareg) DIR/log has a line for each request and errors, and nothing else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/certificates.sh"

usage() {
    echo "usage: deploy/serve.sh docker-registry|registry|olareg DIR [--tls] [--password] [--access-log]" >&2 && exit 2
}

kind=${1:-} dir=${2:-} tls='' password='' level=info
for option in "${@:3}"; do
    case $option in
    --tls) tls=yes ;;
    --password) password=yes ;;
    --access-log) level=error ;;
    *) usage ;;
    esac
done
case $kind/$password/$level in
docker-registry/* | registry/* | olareg//info) ;;
*) usage ;;
esac
[[ -d $dir ]] || { echo "serve: no folder \`$dir\`" >&2 && exit 2; }
cd "$dir"

cache=${IMAGE_FACTORY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/image-factory} # As in tools.sh.
program=$cache/bin/$kind
[[ $kind == docker-registry ]] && program=$(command -v docker-registry || echo "$program")
[[ -x $program ]] || { echo "serve: \`$kind\` is not here; deploy/tools.sh test gets it" >&2 && exit 77; }
[[ -z $tls ]] || command -v openssl >/dev/null || { echo "serve: no \`openssl\` to make certificates" >&2 && exit 77; }

# Both distributions read this. Without `secret` they warn; it signs upload state, which lives as long as the test.
config() {
    cat <<END
version: 0.1
log: { level: $level }
storage: { filesystem: { rootdirectory: $PWD/data }, delete: { enabled: true } }
http:
  addr: 127.0.0.1:0
  secret: test
END
    [[ -z $tls ]] || echo "  tls: { certificate: $PWD/server.pem, key: $PWD/server-key.pem }"
    [[ -z $password ]] || echo "auth: { htpasswd: { realm: test, path: $PWD/htpasswd } }"
}

# Prints where process $1 listens, by asking the kernel: not every server says which free port it got.
# Ends when the process does; a dead one has no `exe`, even before its parent has waited for it.
announce() {
    local inodes port
    while [[ -e /proc/$1/exe ]]; do
        inodes=$(readlink "/proc/$1"/fd/* | sed -n 's/^socket:\[\(.*\)\]$/\1/p' | tr '\n' ' ') || true
        port=$(awk -v inodes="$inodes" 'BEGIN { split(inodes, list, " "); for (i in list) ours[list[i]] }
            $4 == "0A" && $10 in ours { split($2, address, ":"); print address[2]; exit }' "/proc/$1/net/tcp") || true
        [[ -z $port ]] || { echo "address=127.0.0.1:$((16#$port))" && return; }
        sleep 0.05
    done 2>/dev/null
}

[[ -z $tls ]] || certificates >log 2>&1
# bcrypt of `secret`: no other hash is taken, and few machines have a program that makes one.
[[ -z $password ]] || echo 'robot:$2y$04$imagefactorytestsalt..U6Ybo93Oubiz5sIunVwwXec5oKg29zG' >htpasswd
mkdir -p data
case $kind in
docker-registry | registry)
    config >config.yml
    command=("$program" serve config.yml)
    ;;
olareg)
    command=("$program" serve --addr 127.0.0.1 --port 0 --dir data --api-delete --api-blob-delete)
    [[ -z $tls ]] || command+=(--tls-cert server.pem --tls-key server-key.pem)
    ;;
esac
(announce $$ &)
# A clean environment: REGISTRY_* would change the configuration, and distribution v3 would look for a collector.
exec env -i PATH="$PATH" HOME="$PWD" OTEL_TRACES_EXPORTER=none "${command[@]}" >>log 2>&1
