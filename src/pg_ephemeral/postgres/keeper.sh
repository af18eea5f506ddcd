# Keeps one PostgreSQL server: starts it, passes orders on to it, and outlives its owner just long enough to clean up.
#
#   sh keeper.sh LOG RUN SOCKETS PROGRAM [ARGUMENT]...
#
# Standard input is a pipe from the owner. A line on it is the name of a signal for the server (INT, QUIT), or "done":
# the owner has taken care of everything. Its end without "done" means that the owner is gone, killed perhaps: the
# server is stopped at once and the directories RUN and SOCKETS are removed. Standard output tells the owner
# the server's exit status when it ends.
umask 077
log=$1 run=$2 sockets=$3
shift 3
# Writing to an owner that is gone must not end the keeper before it has cleaned up.
trap '' HUP INT TERM PIPE
exec 3<&0 </dev/null

"$@" >>"$log" 2>&1 3<&- &
server=$!

# A program that was only just started may not have its handlers yet, and background jobs of a shell start with QUIT
# ignored: so say it until it is heard.
stop() {
    while [ ! -e "$run/exited" ] && kill -QUIT "$server"; do
        sleep 0.1
    done
}

(
    exec >&-
    while read -r order <&3; do
        case $order in
            done) exit 0 ;;
            *) kill -"$order" "$server" ;;
        esac
    done
    stop
    exit 1
) 2>/dev/null &
reader=$!

wait "$server"
status=$?
: 2>/dev/null >"$run/exited"
echo "$status" 2>/dev/null
exec >&-
wait "$reader" || rm -rf -- "$run" "$sockets"
