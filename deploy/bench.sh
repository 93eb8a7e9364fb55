#!/usr/bin/env bash
# Measures the release build against registries of its own on the loopback: peak memory, time and requests for an image
# with one large layer, and for two nights of a repository with many tags; and of skopeo for the same, where it is.
#
#   deploy/bench.sh [BYTES [TAGS]]      the layer's size, 4 GiB without it; how many tags, 2000 without it
#
# It fails if something of ours fails or takes more than 64 MiB. Times mean something only beside others of the same run.
set -euo pipefail

bytes=${1:-$((4 << 30))} tags=${2:-2000}
readonly MEMORY_MAX_MIB=64

cd "$(dirname "${BASH_SOURCE[0]}")/.."
"${CARGO:-cargo}" build --release --locked -p image-factory -p sandbox
bin=$(realpath "${CARGO_TARGET_DIR:-target}")/release
[[ -x /usr/bin/time ]] || { echo "bench: GNU time is not here; deploy/tools.sh bench gets it" >&2 && exit 2; }

work=$(mktemp -d "$bin/bench.XXXXXX") # Beside the build, since /tmp may be memory.
declare -A pid host
failed=0
trap '((${#pid[@]} == 0)) || kill "${pid[@]}"; rm -rf "$work"' EXIT

# serve NAME SCHEME OPTION…: starts a registry in place of the one that had this name, and waits until it listens.
serve() {
    local name=$1 tls=()
    [[ $2 == http ]] || tls=(--tls "$work/$name-ca")
    [[ -z ${pid[$name]:-} ]] || { kill "${pid[$name]}" && wait "${pid[$name]}" 2>/dev/null || true; }
    : >"$work/$name" # What the one before said must not be taken for an answer.
    "$bin/sandbox" "${@:3}" "${tls[@]}" >>"$work/$name" &
    pid[$name]=$!
    until [[ -s $work/$name ]]; do kill -0 "${pid[$name]}" && sleep 0.05; done
    host[$name]=$(sed 's,^.*://,,' "$work/$name")
}

# destination SCHEME REPOSITORY: starts an empty registry, and writes a job file that mirrors the repository to it.
destination() {
    serve destination "$1" --keep 1048576
    printf 'version: 1\nto: %s/{path}\nimages: { "%s/%s": "*" }\n' \
        "${host[destination]}" "${host[source]}" "$2" >"$work/job.yaml"
    if [[ $1 == https ]]; then
        cat "$work/source-ca/ca.pem" "$work/destination-ca/ca.pem" >"$work/ca.pem"
        echo "network: { ca_file: $work/ca.pem }" >>"$work/job.yaml"
    fi
}

# requests NAME: how many the registry was asked since this was last called, and of which kinds.
requests() {
    local before
    before=$(wc -l <"$work/$1")
    kill -USR1 "${pid[$1]}"
    until (($(wc -l <"$work/$1") > before)); do sleep 0.02; done
    tail -n 1 "$work/$1"
}

# measure WHAT BYTES COMMAND…: runs a command and prints a line of the table; BYTES is what it moves, or - for little.
measure() {
    local what=$1 bytes=$2 seconds kib user system source destination
    shift 2
    requests source >/dev/null
    if ! /usr/bin/time -o "$work/time" -f '%e %M %U %S' "$@" >"$work/output" 2>&1; then
        echo "failed: $*" && tail -n 5 "$work/output"
        [[ $1 == skopeo ]] || failed=1
        return 0
    fi
    source=$(requests source) destination=$(requests destination)
    read -r seconds kib user system <"$work/time"
    awk -v what="$what" -v bytes="$bytes" -v kib="$kib" -v seconds="$seconds" -v cpu="$user $system" \
        -v source="$source" -v destination="$destination" '
        BEGIN {
            split(cpu, c)
            rate = bytes == "-" ? "-" : sprintf("%.0f", bytes / 1e6 / (seconds + 0.005))
            printf "%-46s %6.1f %8.2f %8.2f %6s %8d %8d\n", what, kib / 1024, seconds, c[1] + c[2], rate, source, destination
            if (bytes == "-") printf "    source: %s\n    destination: %s\n", source, destination
        }'
    if [[ $1 != skopeo ]] && ((kib > MEMORY_MAX_MIB * 1024)); then
        echo "    that is more than $MEMORY_MAX_MIB MiB" && failed=1
    fi
}

copy() { measure "$1" "$bytes" "$bin/image-factory" copy --settings "$work/job.yaml" "$2" "$3"; }
run() { measure "$1" "$2" "$bin/image-factory" run "$work/job.yaml" --data "$work/data-$3"; }
peer() {
    command -v skopeo >/dev/null || return 0
    measure "$1" "$2" skopeo --insecure-policy "${@:3}" --src-tls-verify=false --dest-tls-verify=false
}

printf '%-46s %6s %8s %8s %6s %8s %8s\n' "" MiB seconds "CPU s" MB/s "asked: source" destination

for scheme in http https; do
    large=library/large:1
    serve source "$scheme" --synthetic "$bytes"
    destination "$scheme" library/large
    copy "$scheme  copy, a layer of $((bytes >> 20)) MiB" "${host[source]}/$large" "${host[destination]}/$large"
    destination "$scheme" library/large
    run "$scheme  run, the same" "$bytes" "large-$scheme"
    destination "$scheme" library/large
    peer "$scheme    skopeo copy --all" "$bytes" \
        copy --all "docker://${host[source]}/$large" "docker://${host[destination]}/$large"
done

copy "https  copy to oci:" "${host[source]}/$large" "oci:$work/layout:large"
destination https library/large
copy "https  copy from oci:" "oci:$work/layout:large" "${host[destination]}/$large"
rm -rf "$work/layout"

serve source http --tags "$tags"
destination http library/app-00
run "http   run, $tags tags, first night" - tags
run "http   run, $tags tags, second night" - tags
destination http library/app-00
for night in first second; do
    peer "http     skopeo sync --all, $night night" - \
        sync --all --src docker --dest docker "${host[source]}/library/app-00" "${host[destination]}/library"
done

((failed == 0))
