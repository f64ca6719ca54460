# shellcheck shell=bash
# Processes that run on after the script. A process is ours only if its start time and the machine's boot
# are those that were noted when it was started: after a crash or a reboot its PID may be another program's.

RUN=$STATE/run

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# The 22nd field of stat, counted after the name, which may hold spaces: clock ticks since boot.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# The PID of what was started as NAME, if it still runs.
pid_of() {
  local pid="" started="" boot=""
  read -r pid started boot 2>/dev/null <"$RUN/$1.pid" || return 1
  [ -n "$started" ] && [ "$boot" = "$(boot_id)" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
  # A zombie has ended already.
  [ "$(sed 's/^.*) //' "/proc/$pid/stat" | cut -c 1)" != Z ] && echo "$pid"
}

# start NAME COMMAND...
start() {
  local name=$1 pid; shift
  pid_of "$name" >/dev/null && return
  mkdir -p "$RUN" "$STATE/log"
  [ -f "$STATE/log/$name.log" ] && mv "$STATE/log/$name.log" "$STATE/log/$name.log.1"
  # Nothing of this script is to be held open: not its terminal, not its lock.
  setsid nohup "$@" >"$STATE/log/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid") $(boot_id)" >"$RUN/$name.pid"
}

# stop NAME: ask, wait, insist.
stop() {
  local pid
  if pid=$(pid_of "$1"); then
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do pid_of "$1" >/dev/null || break; sleep 0.1; done
    if pid=$(pid_of "$1"); then kill -9 "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$RUN/$1.pid"
}

log_tail() {
  local name
  for name in "$@"; do
    [ -s "$STATE/log/$name.log" ] || continue
    echo "--- the end of $STATE/log/$name.log" >&2
    tail -n 15 "$STATE/log/$name.log" | cut -c 1-300 >&2
  done
}
