#!/usr/bin/env bash
# Starts a real broker, database, ledger or object store for a test, on the loopback, with all its files in one folder.
#
#   deploy/backend.sh rabbitmq|postgresql|redis|s3 DIR [--tls] [--scratch]
#
# The script becomes the server (exec): the pid that started it is the one to signal. On stdout stands one line,
# `address=127.0.0.1:PORT`, once the server answers, and then nothing more; the end of stdout without that line means
# that it did not start, and DIR/log says why. Exit code 77 means that the program is not on this machine.
#
# Who started it in DIR before finds what it kept, on the port that it had: so a test restarts a server, and deletes
# DIR/data for one that lost all. All let in `robot` with the password `secret` (redis: by the password alone).
# PostgreSQL has a database `robot`. s3 lets in anybody, keeps all in memory, and has no TLS. DIR/rabbitmqctl steers the broker that runs in DIR.
#
# With --tls it serves DIR/server.pem, signed by the authority DIR/ca.crt, and nothing but TLS; rabbitmq then wants a
# certificate of the client too, DIR/client.pem with DIR/client-key.pem. What of these is not there is made.
#
# With --scratch the server is killed when stdin ends, and DIR is deleted: however its user ends, nothing is left. If the
# server ended before, DIR stays.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/certificates.sh"

usage() { echo "usage: deploy/backend.sh rabbitmq|postgresql|redis|s3 DIR [--tls] [--scratch]" >&2 && exit 2; }

kind=${1:-} dir=${2:-} tls='' scratch=''
for option in "${@:3}"; do
    case $option in
    --tls) tls=yes ;;
    --scratch) scratch=yes ;;
    *) usage ;;
    esac
done
case $kind in
rabbitmq) program=/usr/lib/rabbitmq/bin/rabbitmq-server ;;
postgresql) program=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1) ;;
redis) program=$(command -v redis-server || true) ;;
s3) program=${IMAGE_FACTORY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/image-factory}/moto/bin/moto_server ;; # As in tools.sh.
*) usage ;;
esac
[[ $kind/$tls != s3/yes ]] || usage
[[ -d $dir ]] || { echo "backend: no folder \`$dir\`" >&2 && exit 2; }
[[ -x $program ]] || { echo "backend: \`$kind\` is not here; deploy/tools.sh test gets it" >&2 && exit 77; }
cd "$dir"
dir=$PWD

# One that nobody listens on. Below the ports that the kernel gives to clients, so that none takes it during a restart.
free_port() {
    local port
    while port=$(shuf -i 20000-31999 -n 1); grep -qi ":$(printf %04X "$port") " /proc/net/tcp; do :; done
    echo "$port"
}

# port NAME: the port that this folder has for it.
port() {
    [[ -e $1.port ]] || free_port >"$1.port"
    cat "$1.port"
}

# announce PID COMMAND…: says where the server listens once the command succeeds; ends when the server does.
announce() {
    local server=$1
    shift
    while [[ -e /proc/$server/exe ]]; do
        if "$@" >/dev/null 2>&1; then echo "address=127.0.0.1:$port" && return; fi
        sleep 0.1
    done
}

# after_end COMMAND…: does something once the server has ended.
after_end() {
    while [[ -e /proc/$$/exe ]]; do sleep 0.2; done
    "$@"
}

# Ends the server when stdin ends, and deletes its folder. One that was killed before is to be started again.
end_with_stdin() {
    cat >/dev/null
    [[ -e /proc/$$/exe ]] || return 0
    kill -KILL $$
    cd /
    after_end sleep 0.5 # Its children write until they notice.
    rm -rf "$dir"
}

# Whether the port takes a connection.
listens() { (: <"/dev/tcp/127.0.0.1/$port"); }

if [[ -n $tls ]]; then
    { certificates && certify client clientAuth; } >log 2>&1
fi
port=$(port main)

rabbitmq() {
    local listener="listeners.tcp.1 = 127.0.0.1:$port"
    [[ -z $tls ]] || listener="listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:$port
ssl_options.cacertfile = $dir/ca.crt
ssl_options.certfile = $dir/server.pem
ssl_options.keyfile = $dir/server-key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true"
    cat >rabbitmq.conf <<END
$listener
default_user = robot
default_pass = secret
loopback_users = none
log.console = true
log.console.level = info
END
    echo '[].' >enabled_plugins
    # It writes its own name for the node to this port's daemon, which outlives it: one for each folder, ended below.
    local settings=(
        PATH="$PATH" HOME="$dir" LANG=C.UTF-8 RABBITMQ_NODENAME="$(basename "$dir" | tr -cd '[:alnum:]')-$port@localhost"
        RABBITMQ_DIST_PORT="$(port distribution)" ERL_EPMD_PORT="$(port epmd)" ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir" RABBITMQ_LOGS=-
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" RABBITMQ_PID_FILE="$dir/pid"
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none"
        RABBITMQ_CTL_ERL_ARGS="+S 1:1" # Without a word on which user may call it.
    )
    { printf '#!/bin/sh\nexec env -i' && printf " '%s'" "${settings[@]}" &&
        echo ' "$(dirname '"$program"')/rabbitmqctl" "$@"'; } >rabbitmqctl
    chmod +x rabbitmqctl
    (announce $$ listens &)
    (after_end env ERL_EPMD_PORT="$(port epmd)" epmd -kill &) >/dev/null 2>&1
    # With `ALLOW_INPUT` its script becomes the server, too.
    exec env -i "${settings[@]}" RABBITMQ_ALLOW_INPUT=true "$program" -noinput >>log 2>&1
}

postgresql() {
    local as=()
    # It refuses to run as root.
    if ((EUID == 0)); then
        as=(setpriv --reuid nobody --regid nogroup --clear-groups)
        chown -R nobody:nogroup .
    fi
    if [[ ! -e data/PG_VERSION ]]; then
        echo secret >password
        "${as[@]}" "$(dirname "$program")/initdb" --pgdata data --username robot --pwfile password --auth scram-sha-256 \
            --no-locale --encoding UTF8 --no-sync >>log 2>&1
    fi
    local settings=(-c port="$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200)
    [[ -z $tls ]] || settings+=(-c ssl=on -c ssl_cert_file="$dir/server.pem" -c ssl_key_file="$dir/server-key.pem")
    [[ -z $tls ]] || { chmod 600 server-key.pem && sed -i 's/^host /hostssl /' data/pg_hba.conf; }
    # What ends with its user need not survive the machine: a killed server finds all that it committed, and is faster.
    [[ -z $scratch ]] || settings+=(-c fsync=off)
    rm -f data/postmaster.pid # Of one that was killed.
    (announce $$ made_database &)
    exec "${as[@]}" "$program" -D data "${settings[@]}" >>log 2>&1
}

# Whether PostgreSQL answers and has the database.
made_database() {
    local at="host=127.0.0.1 port=$port user=robot password=secret dbname"
    psql "$at=robot" -c 'select 1' || psql "$at=postgres" -c 'create database robot'
}

redis() {
    local settings=(--bind 127.0.0.1 --port "$port" --dir "$dir/data" --requirepass secret --save '' --appendonly yes)
    [[ -z $tls ]] || settings+=(--port 0 --tls-port "$port" --tls-auth-clients no --tls-ca-cert-file "$dir/ca.crt"
        --tls-cert-file "$dir/server.pem" --tls-key-file "$dir/server-key.pem")
    (announce $$ listens &)
    exec "$program" "${settings[@]}" >>log 2>&1
}

s3() {
    (announce $$ listens &)
    exec env -i PATH="$PATH" HOME="$dir" "$program" --host 127.0.0.1 --port "$port" >>log 2>&1
}

mkdir -p data
if [[ -n $scratch ]]; then
    exec 3<&0
    (end_with_stdin <&3 &) >/dev/null 2>&1
fi
"$kind" </dev/null 3<&-
