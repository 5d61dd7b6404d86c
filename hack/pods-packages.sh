#!/usr/bin/env bash
# Installs what running pods takes from Debian: runc, CNI's plugins, and the programs that
# make networks. It asks for root only if one of them is missing, whichever package it came from.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
missing=()
need() { # program or path, package
  command -v "$1" >/dev/null || missing+=("$2")
}
need runc runc
need /usr/lib/cni/host-local containernetworking-plugins
need ip iproute2
need iptables iptables
need nft nftables
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "running pods takes Debian's packages ${missing[*]}: install them as root" >&2
  exit 1
fi
echo "== installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
