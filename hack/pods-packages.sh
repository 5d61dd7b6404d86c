#!/usr/bin/env bash
# Installs what running pods takes from Debian: runc, CNI's plugins, and the programs that
# make networks. It asks for root only if something is missing.
set -euo pipefail
packages=(runc containernetworking-plugins iproute2 iptables nftables)
missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
    missing+=("$package")
  fi
done
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
