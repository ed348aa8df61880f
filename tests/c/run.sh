#!/bin/sh
# Builds the C tests with sanitizers and runs them; fails if anything did. CC names another compiler.
#   tests/c/run.sh          address and undefined behaviour, all tests
#   tests/c/run.sh thread   data races, the pool
set -eu
here=$(cd "$(dirname "$0")" && pwd)
csrc=$here/../../csrc
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
case ${1:-address} in
    address) sanitizers=address,undefined tests=all ;;
    thread) sanitizers=thread tests=pool ;;
    *) echo "run.sh: '$1' is not address or thread" >&2; exit 2 ;;
esac
"${CC:-cc}" -std=gnu11 -O1 -g -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread -Wall -Wextra -Werror \
    -fsanitize=$sanitizers -fno-sanitize-recover=all -I "$csrc" \
    "$here/test_kernels.c" "$csrc"/*_f??.c "$csrc/kernels.c" "$csrc/pool.c" -lm -o "$out/test"
"$out/test" $tests
