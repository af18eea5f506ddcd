#!/usr/bin/env bash
# Give an ordinary user a Podman without root's rights, and the image for tests, from root's: Debian, as root.
#
#   rootless.sh USER
#
# Everything of it is below the user's HOME and XDG_RUNTIME_DIR, which are those of this script's environment.
set -euo pipefail

user=$1
image=docker.io/library/postgres:15

as_user() {
    runuser --user "$user" -- env HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$@"
}

# Identities for what is in containers. useradd gives some where it is told to; nobody else's may be among them.
for kind in uid gid; do
    if ! grep -q "^$user:" "/etc/sub$kind"; then
        first=$(awk -F: '$2 + $3 > end { end = $2 + $3 } END { print end < 100000 ? 100000 : end }' "/etc/sub$kind")
        usermod "--add-sub${kind}s" "$first-$((first + 65535))" "$user"
    fi
done
# As udev leaves it, where there is one: networks of ordinary users begin there.
if [ -c /dev/net/tun ]; then chmod 666 /dev/net/tun; fi

install --directory --owner="$user" --mode=700 "$XDG_RUNTIME_DIR"
cd "$HOME"
# The kernel's overlays, which Podman does not find by itself where it could have others; if it cannot use them, its own
# choice, which is slow.
settings=.config/containers/storage.conf
as_user mkdir -p "$(dirname "$settings")"
printf '[storage]\ndriver = "overlay"\n' | as_user tee "$settings" >/dev/null
if ! as_user podman info >/dev/null 2>&1; then as_user rm "$settings"; fi

podman save "$image" 2>/dev/null | as_user podman load --quiet >/dev/null
echo "$user has Podman $(as_user podman info --format '{{.Version.Version}}, {{.Store.GraphDriverName}}'), with $image"
