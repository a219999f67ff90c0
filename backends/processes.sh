# Processes of `backends/run`. Only what it started itself is ever signalled: run/NODE.pid says which process, run/NODE.born
# its start in ticks since the boot of the machine, so that a pid that was used again is not taken for ours.

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { say "ERROR: $*"; exit 1; }

born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
state() { case $(sed 's/.*) //' "/proc/$(cat "$RUN/$1.pid")/stat" 2>/dev/null | cut -d' ' -f1) in T) echo paused ;; *) echo up ;; esac; }
resident_mb() { awk '/VmRSS/{print int($2 / 1024)}' "/proc/$(cat "$RUN/$1.pid")/status"; }
alive() { # NODE: it runs, or is not done with ending: a dead leader whose threads still hold the ports counts as alive
  local pid tasks
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ "$(born "$pid")" = "$(cat "$RUN/$1.born" 2>/dev/null)" ] || return 1
  tasks=("/proc/$pid/task/"*)
  [ ${#tasks[@]} -gt 1 ] || ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}
listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; } # HOST PORT

spawn() { # NODE COMMAND…
  local node=$1
  shift
  setsid "$@" >"$RUN/$node.log" 2>&1 </dev/null &
  born $! >"$RUN/$node.born"
  host_of "$node" >"$RUN/$node.host"
  echo $! >"$RUN/$node.pid"
}
claim() { # NODE HOST PORT…: nothing else may listen there
  local node=$1 host=$2 port
  shift 2
  for port; do
    ! listens "$host" "$port" || die "$node: $host:$port is taken by a process that was not started from $DIR:" \
      "stop that, or start this set elsewhere with BACKENDS_HOST and BACKENDS_DIR"
  done
}
last_words() { # NODE: what went wrong, as far as its log says, and how it ended
  { grep -m 3 -E 'ERROR|FATAL|Exception' "$RUN/$1.log"; tail -n 3 "$RUN/$1.log"; } | cut -c1-300 >&2
}
await() { # NODE HOST PORT [CHECK…]: until the port answers and CHECK is true
  local node=$1 host=$2 port=$3 t0=$SECONDS
  shift 3
  until listens "$host" "$port" && { [ $# = 0 ] || timeout 10 "$@" >/dev/null 2>&1; }; do
    alive "$node" || { last_words "$node"; die "$node ended while starting; all it said: $RUN/$node.log"; }
    [ $((SECONDS - t0)) -lt "$DEADLINE" ] \
      || { last_words "$node"; die "$node does not serve on $host:$port after $DEADLINE s; its log: $RUN/$node.log"; }
    sleep 0.1
  done
}
gone() { # NODE: wait up to 20 s until it is
  local _
  for _ in $(seq 200); do
    alive "$1" || return 0
    sleep 0.1
  done
  return 1
}
halt() { # NODE: SIGTERM, then SIGKILL; a paused one is woken for it
  if alive "$1"; then
    kill -TERM "$(cat "$RUN/$1.pid")" 2>/dev/null
    kill -CONT "$(cat "$RUN/$1.pid")" 2>/dev/null
    gone "$1" || { say "$1: no end after 20 s, SIGKILL"; kill -KILL "$(cat "$RUN/$1.pid")"; }
    gone "$1" || die "$1: still there after SIGKILL"
  fi
  rm -f "$RUN/$1.pid" "$RUN/$1.born"
}
