#!/usr/bin/env bash
# Have Docker, Podman, a registry and skopeo on this machine, answering: Debian, as root. What is there is left alone.
set -euo pipefail

packages=(debootstrap docker.io docker-registry iptables podman runc skopeo slirp4netns uidmap)

if [ "$(id --user)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Installing and starting engines takes root on Debian or Ubuntu. Elsewhere, install and start them yourself:" >&2
    echo "the tests use whatever answers to docker and podman." >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    if ! dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet --quiet
    # A package that would start its service finds that it may not: the services below are started by hand.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get install --yes --quiet --quiet --no-install-recommends "${missing[@]}" >/dev/null
fi

answers() {
    timeout 20 docker version >/dev/null 2>&1
}

if ! answers; then
    echo "starting dockerd"
    mkdir -p /var/log
    # It outlives this, and may outlive the directory for temporary files that we were given.
    env -u TMPDIR setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &
    daemon=$!
    for _ in $(seq 300); do
        if answers; then break; fi
        if ! kill -0 "$daemon" 2>/dev/null; then
            tail -n 20 /var/log/dockerd.log >&2
            echo "dockerd ended" >&2
            exit 1
        fi
        sleep 0.2
    done
    if ! answers; then
        tail -n 20 /var/log/dockerd.log >&2
        echo "dockerd does not answer" >&2
        exit 1
    fi
fi

# Inside other people's containers and virtual machines crun does not get along with mixed cgroups, and limits may not
# be raised, which Podman tries: then runc is told to keep those there are.
if [ ! -e /etc/containers/containers.conf ]; then
    mkdir -p /etc/containers
    cat >/etc/containers/containers.conf <<EOF
[engine]
runtime = "runc"

[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
EOF
fi
echo "docker $(docker version --format '{{.Server.Version}}'), podman $(podman version --format '{{.Client.Version}}')"
