#!/bin/sh
# Asks an SMTP server, from this host, whether it takes one recipient; for hosts whose sshd forbids forwarding.
# Called as: main NONCE HOST PORT HELO SENDER RECIPIENT. No DATA, no TLS, one recipient. Answers one frame a reply.
set -u
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

frame() { printf '\n%s %s\n' "$nonce" "$*"; }

# The first of these that the host has carries bytes from stdin to the server and back.
carry() {
  for tool in ncat nc socat busybox; do
    command -v "$tool" >/dev/null || continue
    case $tool in
    socat) exec socat - "TCP:$1:$2,connect-timeout=5" ;;
    busybox) exec busybox nc -w 5 "$1" "$2" ;;
    *) exec "$tool" -w 5 "$1" "$2" ;;
    esac
  done
}

# reply STEP: one reply, its last line being "NNN text".
reply() {
  frame "$1"
  while IFS= read -r line <&4; do
    printf '%s\n' "$line"
    case $line in [0-9][0-9][0-9]-*) ;; *) return 0 ;; esac
  done
}

say() { printf '%s\r\n' "$1" >&3; }

ask() {
  reply greeting
  say "EHLO $3"
  reply EHLO
  say "MAIL FROM:<$4>"
  reply MAIL
  say "RCPT TO:<$5>"
  reply RCPT
  # Its reply is awaited: a connection that is cut before is a "lost connection" in the server's log.
  say QUIT
  read -r _ <&4
}

main() {
  nonce=$1
  shift
  trap '' PIPE
  printf '%s\n' "$nonce begin"
  pipes=$(mktemp -d) && mkfifo "$pipes/to" "$pipes/from" || return 1
  (carry "$1" "$2" <"$pipes/to" >"$pipes/from" 2>/dev/null) &
  carrier=$!
  (sleep 10 && kill "$carrier" 2>/dev/null) >/dev/null 2>&1 &
  alarm=$!
  exec 3>"$pipes/to" 4<"$pipes/from"
  rm -rf "$pipes"
  ask "$@"
  exec 3>&- 4<&-
  kill "$carrier" "$alarm" 2>/dev/null
  frame end
}
