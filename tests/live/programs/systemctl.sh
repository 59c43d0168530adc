#!/bin/bash
# Stand-in for systemd in a sandbox: it runs ExecStart of the unit as the unit's user, with its capability and folders.
unit=/etc/systemd/system/emailsys.service
pid_file=/run/emailsys.pid
value() { sed -n "s/^$1=//p" "$unit"; }
is_running() { [ -e "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }

start() {
  is_running && return
  local user capability
  user=$(value User)
  capability=$(value AmbientCapabilities | tr 'A-Z' 'a-z')
  install -d -o "$user" -g "$user" -m "$(value StateDirectoryMode)" "/var/lib/$(value StateDirectory)"
  install -d -o "$user" -g "$user" "/var/log/$(value LogsDirectory)"
  # shellcheck disable=SC2046
  setsid setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps="+${capability#cap_}" \
    --ambient-caps="+${capability#cap_}" $(value ExecStart) </dev/null >>/run/emailsys.journal 2>&1 &
  echo $! >"$pid_file"
  for _ in $(seq 600); do
    (: </dev/tcp/127.0.0.1/25) 2>/dev/null && return
    is_running || break
    sleep 0.1
  done
  cat /run/emailsys.journal
  exit 1
}

stop() {
  is_running || return 0
  local pid
  pid=$(cat "$pid_file")
  kill "$pid"
  for _ in $(seq 600); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  rm -f "$pid_file"
}

# A unit of a user: what it prints in two seconds is kept, then it goes on until it is stopped.
if [ "$1" = --user ]; then
  unit=$HOME/.config/systemd/user/${*: -1}.service pid_file=$HOME/.${*: -1}.pid
  case $2 in
    enable | start)
      # shellcheck disable=SC2046
      setsid $(value ExecStart) </dev/null >"$HOME/.journal" 2>&1 &
      echo $! >"$pid_file"
      sleep 2 ;;
    disable | stop) stop ;;
  esac
  exit 0
fi
[ "${*: -1}" = emailsys ] || exit 0   # other units are the distribution's
case $1 in
  enable | start) start ;;
  disable | stop) stop ;;
  restart) stop && start ;;
  reload)
    is_running || { echo "emailsys.service is not active, cannot reload."; exit 1; }
    kill -HUP "$(cat "$pid_file")" ;;
esac
