#!/bin/bash
# The entry point of the stand-in image: what callers may rely on in the official image's, and no more.
#
# Initialises PGDATA when it holds no cluster, with the image's POSTGRES_… variables, and then runs the server. As root
# it first hands PGDATA over to the user postgres and starts anew as that user.
set -euo pipefail

# Print the value of variable $1, or of the file that variable $1_FILE names, or $2.
setting() {
    local name=$1 file=$1_FILE
    if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then
        echo >&2 "error: $name and $file are both set"
        exit 1
    fi
    if [ -n "${!file:-}" ]; then cat -- "${!file}"; else printf '%s' "${!name:-${2:-}}"; fi
}

# Whether one of the arguments only asks for information.
only_asks() {
    local argument
    for argument; do
        case $argument in
            -'?' | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

initialise() {
    local user database password method
    user=$(setting POSTGRES_USER postgres)
    database=$(setting POSTGRES_DB "$user")
    password=$(setting POSTGRES_PASSWORD)
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo >&2 "error: the database is not initialised and no superuser password was given: set POSTGRES_PASSWORD"
        exit 1
    fi
    eval 'set -- '"$(setting POSTGRES_INITDB_ARGS)"' -- "$@"'
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") "${options[@]}"
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

    # For the scripts: no other way in than the socket.
    shift
    PGUSER=$user PGPASSWORD=$password pg_ctl --pgdata="$PGDATA" --wait -o "$(printf '%q ' "$@" -c listen_addresses=)" start
    local run=(psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$user" --no-password)
    if [ "$database" != postgres ]; then
        PGPASSWORD=$password "${run[@]}" --dbname postgres --set db="$database" <<<'CREATE DATABASE :"db";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) PGPASSWORD=$password "${run[@]}" --dbname "$database" --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | PGPASSWORD=$password "${run[@]}" --dbname "$database" ;;
        esac
    done
    PGUSER=$user pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi
if [ "$1" = postgres ] && ! only_asks "$@"; then
    if [ "$(id --user)" = 0 ]; then
        mkdir -p "$PGDATA" /var/run/postgresql
        chmod 700 "$PGDATA"
        chmod 3777 /var/run/postgresql
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
        exec gosu postgres "${BASH_SOURCE[0]}" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        initialise "$@"
    fi
fi
exec "$@"
