#!/bin/sh
# Write the root filesystem of a plain Debian server as a tar archive to standard output.
#
#   image.sh SUITE          bullseye, bookworm or trixie
#
# This file is the whole recipe: images are tagged by its content (hosts.py). Needs root.
# Packages come from Debian's own archive with its updates; DEBIAN_MIRROR names another mirror.
set -eu

# What any Debian server has, plus what Ansible needs on a target.
packages=systemd,systemd-sysv,dbus,python3,python3-apt,iproute2,procps,ca-certificates,sudo

# Units that cannot do their work without a kernel of their own, and background jobs that would
# hold the package manager's lock just when a playbook wants it.
masked="systemd-modules-load.service apt-daily.timer apt-daily-upgrade.timer"

if [ "$1" = --customize ]; then
  for unit in $masked; do
    ln -sf /dev/null "$2/etc/systemd/system/$unit"
  done
  rm -f "$2/etc/machine-id" "$2/var/lib/dbus/machine-id"
  : >"$2/etc/machine-id" # each host makes its own when it starts
  exit 0
fi

exec mmdebstrap --quiet --variant=minbase --include="$packages" \
  --aptopt='Acquire::Languages "none"' \
  --aptopt='Acquire::Retries "3"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="'$0' --customize \"\$1\"" \
  "$1" - ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
