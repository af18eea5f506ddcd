#!/usr/bin/env bash
# Give every engine that answers a PostgreSQL image for the tests, under its official name.
#
#   image.sh [DIRECTORY]
#
# The official image is pulled. Where that cannot be done, a stand-in with the same contract is made of Debian's
# packages (as root, with debootstrap); what it is made of is kept in DIRECTORY for the next time. Every engine gets the same image.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
keep=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/pg-ephemeral-tests}
major=15
image=docker.io/library/postgres:$major
bin=/usr/lib/postgresql/$major/bin

answering() {
    local engine
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && timeout 30 "$engine" info >/dev/null 2>&1; then echo "$engine"; fi
    done
}

# A root file system with Debian's PostgreSQL, as a tar file in which every time is the same.
make_root() {
    local root
    root=$(mktemp --directory)
    # shellcheck disable=SC2064 -- the value as it is now
    trap "rm -rf --one-file-system '$root'" EXIT
    debootstrap --variant=minbase --include=ca-certificates,gosu,locales,postgresql-$major bookworm "$root" >&2
    chroot "$root" sh -euc '
        # A group or a user of the base may have these numbers already.
        for one in $(getent group 999 | cut -d: -f1); do groupmod --gid 998 "$one"; done
        groupmod --gid 999 postgres
        usermod --uid 999 --gid 999 --home /var/lib/postgresql postgres
        rm -rf /var/lib/postgresql /var/log/postgresql /etc/postgresql /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
        mkdir -p /var/lib/postgresql/data /var/run/postgresql /docker-entrypoint-initdb.d
        chown -R postgres:postgres /var/lib/postgresql /var/run/postgresql
        chmod 1777 /var/lib/postgresql /var/lib/postgresql/data
        chmod 3777 /var/run/postgresql
        localedef --inputfile en_US --force --charmap UTF-8 --alias-file /usr/share/locale/locale.alias en_US.UTF-8
        # What takes half the room and no test needs: translations, manuals, and the compiler of expressions, without which
        # the server does without.
        rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale/?? /usr/share/locale/??_* \
            /usr/lib/*/libLLVM* /usr/lib/postgresql/*/lib/bitcode /usr/lib/postgresql/*/lib/llvmjit*
        sed -i "s/^#listen_addresses = .*/listen_addresses = '"'*'"'/" /usr/share/postgresql/'$major'/postgresql.conf.sample
    ' >&2
    install --mode=755 "$here/docker-entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"
    tar --directory="$root" --sort=name --mtime=@1700000000 --numeric-owner --create .
}

# Make the image of the root file system in directory $2, in Docker or Podman.
build() {
    "$1" build --quiet --tag "$image" "$2" >/dev/null
}

missing=()
for engine in $(answering); do
    if "$engine" image inspect "$image" >/dev/null 2>&1; then
        echo "$engine has $image"
    elif timeout 600 "$engine" pull --quiet "$image" >/dev/null 2>&1; then
        echo "$engine pulled $image"
    else
        missing+=("$engine")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
# Made by these very files, or made anew.
root=root-$(cat "${BASH_SOURCE[0]}" "$here/docker-entrypoint.sh" | sha256sum | cut -c1-12).tar
if [ ! -e "$keep/$root" ]; then
    echo "$image cannot be pulled: making a stand-in from Debian's packages"
    mkdir -p "$keep"
    make_root >"$keep/$root.part"
    rm -f "$keep"/root*.tar
    mv "$keep/$root.part" "$keep/$root"
fi
cat >"$keep/Dockerfile" <<EOF
FROM scratch
ADD $root /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$bin
ENV LANG=en_US.utf8 PG_MAJOR=$major PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
EOF
# The engines are to have one and the same image, as they would after pulling it.
first=${missing[0]}
build "$first" "$keep"
echo "$first has a stand-in for $image"
for engine in "${missing[@]:1}"; do
    # Loaded from Docker's archive, it has Docker's short name.
    loaded=$("$first" save "$image" | "$engine" load --quiet)
    "$engine" tag "${loaded##*: }" "$image"
    echo "$engine has the same"
done
