#!/usr/bin/env bash
# What the dependency trees must not hold:
# - two sources of cryptography. `ring` is the one that was chosen: a second one doubles the binary, and aws-lc gathers
#   jitter entropy at each cold start, some 90 ms.
# - anything but rules in the two pure crates: no AWS, no async runtime, no HTTP, no TLS, no randomness, no clock.
set -euo pipefail
cd "$(dirname "$0")/../.."

tree() { cargo tree --locked --edges normal --prefix none --format '{p}' "$@" | cut -d' ' -f1 | sort -u; }

failed=0
refuse() { # where, pattern, tree
  if found=$(grep -E "^($2)$" <<<"$3"); then
    printf 'in the dependencies of %s: %s\n' "$1" "$(tr '\n' ' ' <<<"$found")" >&2
    failed=1
  fi
}

refuse "the workspace" 'aws-lc-rs|aws-lc-sys|aws-lc-fips-sys|openssl|openssl-sys|native-tls|s2n-tls|reqwest' "$(tree --workspace)"
for rules in carteiro-core carteiro-networks; do
  refuse "$rules" 'aws-.*|tokio.*|hyper.*|http|http-body.*|h2|reqwest|rustls.*|ring|getrandom|rand.*|lambda.*|axum.*' \
    "$(tree --package "$rules")"
done
# The rules of delivery know nothing of networks.
refuse carteiro-core carteiro-networks "$(tree --package carteiro-core)"

versions=$(cargo tree --locked --workspace --edges normal --prefix none --format '{p}' | grep -E '^(rustls|ring) v' | sed 's/ (\*)$//' | sort -u)
if [ "$(cut -d' ' -f1 <<<"$versions" | sort | uniq -d)" ]; then
  printf 'rustls or ring is there in two versions:\n%s\n' "$versions" >&2
  failed=1
fi
exit "$failed"
