# Runs inside a server's container, as its first process, and does what our process on the other side of the engine says.
#
# Orders come in on standard input, which the engine closes when our process or the engine's client is gone, however it
# ended. This process ends then, and the container and everything in it end with it. What we answer goes to standard
# output, a line each; what programs say goes to standard error. Nothing secret is in an argument or in the environment:
# certificates and the password's verifier come in as files, and lie in memory, where a commit does not find them.
#
#   file NAME         the following lines, up to one with a dot alone, are the file NAME in $memory; of a line that
#                     begins with a dot, that dot is no part
#   user NAME         who the superuser is
#   database NAME     where to connect
#   port NUMBER       which port the server listens on, if not the usual one
#   init [plain|alone]
#                     no cluster yet: the image's entry point is to make it, with this database; that of a plain image
#                     would do nothing but what we do faster, unless it finds scripts; alone, too, and then no server is
#                     wanted, nor any database but those of every cluster
#   start ARGUMENT…   run the entry point with these (words as the shell reads them)
#   admit             give the superuser the password again
#   run VARIABLE… -- PROGRAM…
#                     run a program with these variables and the file input in $memory as its input
#   stop | quit       tell the server to shut down, cleanly or at once
#   tidy [SEGMENT]    of the stopped server's directory, remove what means nothing to the next; of the log, keep what
#                     replication slots wait for, from this segment on
#
# Answers: up | ready | made | admitted | ended STATUS | said LINE | done STATUS | tidied | error TEXT. What is made is a
# cluster without a server; what is said and done is of a program that is run.
umask 077
export LC_ALL=C
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS PGSERVICE PGHOSTADDR PGSSLMODE DATABASE_URL
memory=/dev/shm/pg-ephemeral
sockets=/var/run/postgresql
newline='
'
user=postgres
database=postgres
port=5432
fresh=
plain=

say() {
    printf '%s\n' "$*"
}

# The user that runs the server reads the files in memory; nobody else in here is anybody's concern.
receive() {
    while IFS= read -r line && [ "$line" != . ]; do
        printf '%s\n' "${line#.}"
    done >"$memory/$1"
    if [ -e "$PGDATA/PG_VERSION" ]; then
        chown "$(stat -c %u:%g "$PGDATA/PG_VERSION")" "$memory/$1"
    elif [ "$1" = hba.conf ]; then
        chmod 644 "$memory/$1"
    fi
}

# A cluster that is there says it without a program being started.
major() {
    cat "$PGDATA/PG_VERSION" 2>/dev/null || postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'
}

# What initdb is told, as everywhere else: nothing of the result depends on the machine or the image's locales.
init() {
    fresh=yes
    plain=$1
    version=$(major)
    if [ "${version:-99}" -lt 13 ]; then say "error the image has PostgreSQL $version; the oldest that works is 13"; fi
    options="--encoding=UTF8 --locale=C --wal-segsize=1 --text-search-config=english --no-sync"
    if [ "$version" -ge 17 ]; then options="$options --locale-provider=builtin --builtin-locale=C.UTF-8"; fi
    if [ "$version" -ge 18 ]; then options="$options --no-data-checksums"; fi
    export POSTGRES_USER="$user" POSTGRES_DB="$database" POSTGRES_HOST_AUTH_METHOD=trust TZ=Etc/UTC PGPORT="$port"
    export POSTGRES_INITDB_ARGS="$options ${POSTGRES_INITDB_ARGS-}"
}

start() {
    for program in postgres psql pg_controldata; do
        if ! command -v "$program" >/dev/null; then
            say "error the image has no program $program on its PATH"
            return
        fi
    done
    # Beside the server: what comes first on the PATH of Debian's images looks for it, and takes longer than it does.
    programs=$(command -v postgres)
    programs=${programs%/*}
    psql=$programs/psql
    if ! [ -x "$psql" ]; then psql=psql; fi
    mkdir -p "$PGDATA" "$sockets"
    served=yes
    if [ "$1 $2" = "docker-entrypoint.sh postgres" ] && command -v gosu >/dev/null; then
        # The official entry point has nothing to do for a cluster that is there but to become its owner.
        if [ -e "$PGDATA/PG_VERSION" ]; then
            shift
            set -- gosu "$(stat -c %u:%g "$PGDATA/PG_VERSION")" "$@"
        elif is_plain; then
            shift
            if [ "$plain" = alone ]; then
                served=
                set -- make_cluster
            else
                set -- make_cluster_and "$@"
            fi
        fi
    fi
    : >"$memory/running"
    (
        trap '' INT TERM
        "$@" </dev/null >&2 &
        echo $! >"$memory/pid"
        wait $!
        status=$?
        if [ -z "$served" ] && [ "$status" = 0 ]; then say made; fi
        rm -f "$memory/running"
        say "ended $status"
    ) &
    unhindered
    if [ -n "$served" ]; then ready & fi
}

# Where the official entry point would only run initdb, and then a server for scripts that are not there.
is_plain() {
    [ -n "$plain" ] && [ -z "${POSTGRES_INITDB_WALDIR-}" ] && [ -z "$(ls -A /docker-entrypoint-initdb.d 2>/dev/null)" ]
}

make_cluster() {
    chown postgres:postgres "$PGDATA" "$sockets" && chmod 3777 "$sockets" &&
        eval "gosu postgres initdb --username=\"\$user\" $POSTGRES_INITDB_ARGS"
}

# And become the server.
make_cluster_and() {
    make_cluster && exec gosu postgres "$@"
}

# The entry point would have.
make_database() {
    PGDATABASE=template1 PGOPTIONS=$options "$psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="$sockets" \
        --port="$port" --username="$user" --set=wanted="$database" >/dev/null 2>"$memory/error" <<'END'
SELECT format('CREATE DATABASE %I', :'wanted') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'wanted') \gexec
END
}

# For the statement with the verifier: no default of the server, of the database or of the role is to hinder it, and it is
# written down nowhere, neither in the log nor in the file that a module of the server keeps of statements.
unhindered() {
    version=$(major)
    options='-c role=none -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=10s'
    if [ "$version" -ge 14 ]; then options="$options -c idle_session_timeout=0"; fi
    if [ "$version" -ge 17 ]; then options="$options -c transaction_timeout=0"; fi
    options="$options -c log_statement=none -c log_min_duration_statement=-1 -c log_duration=off"
    options="$options -c log_min_error_statement=panic -c pg_stat_statements.track_utility=off"
}

# Told apart from the server that the entry point runs for a while to make the cluster: that one listens on no port.
listening() {
    [ -S "$sockets/.s.PGSQL.$port" ] && { [ -z "$fresh" ] || listening_by_tcp; }
}

# The kernel's tables have a line for each socket: its address and port in hexadecimal, the other end's, its state.
listening_by_tcp() {
    local_port=$(printf '%04X' "$port")
    for table in /proc/net/tcp /proc/net/tcp6; do
        while read -r _ here _ state _; do
            case "${here##*:} $state" in "$local_port 0A") return 0 ;; esac
        done <"$table"
    done 2>/dev/null
    return 1
}

# Give the superuser the password we were sent the verifier of, by way of database $1. Status 2: it takes no connections.
password() {
    PGDATABASE=$1 PGOPTIONS=$options "$psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="$sockets" \
        --port="$port" --username="$user" --file="$memory/password.sql" </dev/null >/dev/null 2>"$memory/error"
}

# A seed may have closed one database or another to connections.
admit() {
    if password "$database" || password template1; then say admitted; else say "error $(head -n 1 "$memory/error")"; fi
}

# What it says is told when it ends, and of very much the end.
run() {
    while [ "$1" != -- ]; do
        export "${1?}"
        shift
    done
    shift
    export PATH="$programs:$PATH"
    "$@" <"$memory/input" >/dev/null 2>"$memory/said"
    status=$?
    tail -c 65536 "$memory/said" | while IFS= read -r line || [ -n "$line" ]; do say "said $line"; done
    say "done $status"
}

# Once the server answers, the superuser gets its password.
ready() {
    target=$database
    while [ -e "$memory/running" ]; do
        if listening; then
            password "$target"
            case $? in
                0)
                    if [ "$plain" != plain ] || make_database; then
                        say ready
                    else
                        say "error $(head -n 1 "$memory/error")"
                    fi
                    return
                    ;;
                2) # not accepting yet, or not in this database
                    if [ "$target" = template1 ]; then target=$database; else target=template1; fi
                    ;;
                *)
                    say "error $(head -n 1 "$memory/error")"
                    return
                    ;;
            esac
        fi
        sleep 0.005
    done
}

# The server itself, which says where it is: an entry point that waits for it may not hand signals on.
signal() {
    if [ -e "$memory/running" ]; then
        kill -"$1" "$(head -n 1 "$PGDATA/postmaster.pid")" || kill -"$1" "$(cat "$memory/pid")"
    fi 2>/dev/null
}

between() {
    expr "x$1" '<=' "x$2" >/dev/null && expr "x$2" '<=' "x$3" >/dev/null
}

# After a clean shutdown nothing of the log is read again but the segment with the last checkpoint, and from $1 on what
# replication slots wait for. Names of segments are in the order of their text.
tidy() {
    report=$(pg_controldata --pgdata="$PGDATA")
    kept=$(printf '%s\n' "$report" | sed -n "s/^Latest checkpoint's REDO WAL file: *//p")
    case $report in
        *"cluster state: "*"shut down$newline"*) ;;
        *)
            say "error the server did not shut down cleanly"
            return
            ;;
    esac
    for segment in "$PGDATA"/pg_wal/????????????????????????; do
        name=${segment##*/}
        if [ "$name" != "$kept" ] && { [ -z "$1" ] || ! between "$1" "$name" "$kept"; }; then rm -f "$segment"; fi
    done
    rm -rf "$PGDATA/postmaster.opts" "$PGDATA"/pg_stat_tmp/* "$PGDATA"/base/pgsql_tmp
    if [ -n "$fresh" ]; then
        # Our servers have access rules of their own; these are for whoever boots the stage by other means.
        printf '%s\n' 'local all all trust' 'host all all all scram-sha-256' >"$PGDATA/pg_hba.conf"
        fresh=
        plain=
    fi
    say tidied
}

trap 'exit 143' HUP INT TERM
mkdir -p "$memory"
chmod 711 "$memory"
say up
while IFS= read -r order; do
    case $order in
        'file '*) receive "${order#file }" ;;
        'user '*) eval "user=${order#user }" ;;
        'database '*) eval "database=${order#database }" ;;
        'port '*) port=${order#port } ;;
        init) init '' ;;
        'init '*) init "${order#init }" ;;
        'start '*) eval "start ${order#start }" ;;
        admit) admit ;;
        'run '*) (eval "run ${order#run }") & ;;
        stop) signal INT ;;
        quit) signal QUIT ;;
        tidy) tidy '' ;;
        'tidy '*) tidy "${order#tidy }" ;;
    esac
done
exit 0
