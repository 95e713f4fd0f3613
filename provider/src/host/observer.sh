#!/bin/sh
# What a key that may only look runs on a mail host, whatever its holder asks for: the observation, and nothing else. One program
# with observe.sh, which comes before it; `npx pulumi-dovecot-postfix observer` prints how an administrator installs it.
#
# It writes nothing and runs no text of the caller's. Of what the client sends it reads the heading (host/wire.ts), as data:
#   # pulumi-dovecot-postfix PROGRAM NONCE
#   # WORD                   one line a word of observe.sh's records
#   #
# and refuses every word that the preview of a resource does not need. Secrets in what it shows are hidden: {...}.
# shellcheck disable=SC2154 # newline, nonce: observe.sh

mark='# pulumi-dovecot-postfix '
ledger=/var/lib/pulumi-dovecot-postfix
foreign='[!]A-Za-z0-9 ._:/@=,+#[-]'

# What may be asked: what the resources ask. A test previews each of them with such a key.
dovecot_values=' auth_master_user_separator login_trusted_networks '
postfix_values=' mynetworks relayhost smtpd_authorized_xclient_hosts '
postfix_tables=' smtp_sasl_password_maps smtp_tls_policy_maps '
markers='
path /opt/mailcow-dockerized/mailcow.conf
container mailcow
path /etc/mailinabox.conf
container docker-mailserver
path /usr/local/bin/start-mailserver.sh
path /etc/iredmail-release
path /opt/iredapd
path /srv/modoboa
line /etc/postfix/main.cf # This file was automatically installed on
container mailu/
path /mailu/mailu.env
path /usr/local/ispconfig/server/lib/config.inc.php
path /usr/local/psa/version
path /usr/local/cpanel/version
'

# one_of LIST WORD
one_of() {
  case $2 in '' | *' '*) return 1 ;; esac
  case $1 in *" $2 "*) ;; *) return 1 ;; esac
}

# once WORD: what it makes costs time or is long.
once() {
  case $asked in *" $1 "*) return 1 ;; esac
  asked="$asked$1 "
}

# of CHARACTERS WORD: it is not empty, begins like no option, and has these characters only.
of() {
  case $2 in '' | -*) return 1 ;; esac
  case $2 in *[!$1]*) return 1 ;; esac
}

# ours PATH: a file that the ledger knows.
ours() {
  case $1/ in */../*) return 1 ;; esac
  of 'A-Za-z0-9._/@+-' "$1" && grep -qsxF -- "    \"$1\": {" "$ledger"/*/ledger*.json
}

# allowed WORD...: all are records of observe.sh that may be asked.
allowed() {
  asked=' '
  while [ $# -gt 0 ]; do
    case $1 in
    dovecot | postfix | surroundings | logins) width=1 ;;
    state | file) width=2 ;;
    postconf) width=3 ;;
    doveconf | service | lookup | hash) width=4 ;;
    marker) width=5 ;;
    *) return 1 ;;
    esac
    [ $# -ge "$width" ] || return 1
    [ "$width" -lt 3 ] || of 'A-Za-z0-9._-' "$2" || return 1
    case $1 in
    dovecot | postfix | surroundings | logins) once "$1" ;;
    state) once "$1" && [ "$2" = "$ledger" ] ;;
    file) ours "$2" ;;
    marker) case $markers in *"$newline$3 $4${5:+ $5}$newline"*) ;; *) false ;; esac ;;
    doveconf) one_of "$dovecot_values" "$4" && { [ -z "$3" ] || of 'a-z0-9.:/= ' "$3"; } ;;
    postconf) one_of "$postfix_values" "$3" ;;
    service) one_of "$postfix_values" "$4" && of ']A-Za-z0-9._:/[-' "$3" ;;
    hash) once hash && of 'A-Za-z0-9.-' "$3" && [ "$4" = 'any password' ] ;;
    lookup) one_of "$postfix_tables" "$3" ;;
    esac || return 1
    shift "$width"
  done
}

# secrets names|text FILE...: which files hold secrets, or their text (without FILE: stdin's) with each in its place as {...}.
# What follows the name of a secret is one, unless it says where the secret is kept, yes or no.
secrets() {
  show=$1
  shift
  awk -v show="$show" '
    function is_secret(name, value) {
      if (name ~ /_maps$/) return value ~ /static:|inline:|[{]/
      if (name ~ /_(file|path|dir|keytab|schemes?)$/) return value ~ /^inline:/
      return value != "" && value !~ /^(yes|no|y|n)([ \t]|$)/ && value !~ /^<[ \t]*[\/]/ && value !~ /^[$][({]?[a-z_]+[)}]?[ \t]*$/
    }
    function hidden(line,    low, at, name) {
      low = tolower(line)
      at = 0
      while (match(substr(low, at + 1), /[a-z0-9_]*(pass|secret|token|nonce|credential|key|authorization|api_header)[a-z0-9_]*"?[ \t]*[=:][ \t]*/)) {
        name = substr(low, at + RSTART, RLENGTH)
        sub(/"?[ \t]*[=:][ \t]*$/, "", name)
        at += RSTART + RLENGTH - 1
        if (is_secret(name, substr(low, at + 1))) return substr(line, 1, at) "{...}"
      }
      # A password in an address: mysql://user:password@host
      if (match(line, /:[\/][\/][^\/@ \t]*:[^\/@ \t]*@/)) return substr(line, 1, RSTART + 2) "{...}"
      return line
    }
    function put(from, to) {
      if (from != to) found = 1
      if (show == "text") print to
    }
    # A setting goes on in the next line; what is between is a comment.
    function flush(    flat, safe, i) {
      flat = ""
      for (i = 1; i <= count; i++) if (!aside[i]) flat = flat (flat == "" ? "" : " ") lines[i]
      safe = hidden(flat)
      if (safe != flat) put(flat, safe)
      for (i = 1; i <= count; i++) if (aside[i] || safe == flat) put(lines[i], aside[i] ? hidden(lines[i]) : lines[i])
      count = 0
    }
    function done() {
      flush()
      if (found && show == "names") print file
      found = 0
    }
    FNR == 1 {
      done()
      file = FILENAME
      postfix = file ~ /(main|master)[.]cf$/
      password_file = file ~ /pulumi-dovecot-postfix[.]master[.]/
    }
    # Ours, and without a secret; what Postfix and Dovecot call a key is none there.
    file ~ /[\/]ledger[a-z.]*[.]json$/ {
      put($0, $0)
      next
    }
    password_file {
      safe = $0
      sub(/:[^:]*/, ":{...}", safe)
      put($0, safe)
      next
    }
    {
      beside = postfix && /^(#|[ \t]*$)/
      if (!beside && !(postfix ? /^[ \t]/ : open)) flush()
      lines[++count] = $0
      aside[count] = beside
      open = /\\[ \t\r]*$/
    }
    END { done() }' "$@"
}

# --- in place of observe.sh's own: what shows a file, and what shows an answer.
show() {
  secretive=$(secrets names "$@") || return
  for path in "$@"; do
    shift
    case $newline$secretive$newline in *"$newline$path$newline"*) masked "$path" ;; *) set -- "$@" "$path" ;; esac
  done
  [ $# = 0 ] || whole "$@"
}

# masked FILE: with the digest of its bytes, which tells whether anybody has changed it.
masked() {
  digest=$(sha256sum <"$1")
  frame masked "$(stat -L -c '%a %u %g' -- "$1")" "${digest%% *}"
  printf '%s\n' "$1"
  realpath "$1"
  secrets text "$1"
}

told() {
  frame "$1"
  case $1 in
  # How many sessions of which service; whose they are is nobody's business.
  sessions) printf '%s\n' "$2" | awk '{ print "-", $2 }' ;;
  *) printf '%s\n' "$2" | secrets text ;;
  esac
  printf '\n%s status %s\n' "$nonce" "$3"
}

# refuse WHAT: a change (nothing of it can be done with this key) or a question (that is not one of ours).
refuse() {
  frame refused "$1"
  frame end
  exit 1
}

stranger() {
  echo "This key may only look: it runs the observation of pulumi-dovecot-postfix on this host, and nothing else." >&2
  exit 1
}

observer() {
  heading=$(timeout -s KILL 10 head -c 262144 | sed -n "/^$mark/,/^#\$/{p;/^#\$/q;}")
  exec </dev/null
  case $heading in "$mark"*"$newline#") ;; *) stranger ;; esac
  set -f
  IFS=$newline
  # shellcheck disable=SC2086 # lines
  set -- $heading
  unset IFS
  set +f
  nonce=${1##* }
  case $nonce in *[!0-9a-f]*) stranger ;; esac
  [ ${#nonce} = 32 ] || stranger
  digest=$(sha256sum <"$0")
  frame observer "${digest%% *}"
  [ "$1" = "${mark}observe.sh $nonce" ] || refuse change
  # A hash of somebody's password is for a change; the one of no password only asks whether Dovecot knows the scheme.
  case "$newline$heading$newline" in
  *"$newline# hash$newline"*"$newline# any password$newline"*) ;;
  *"$newline# hash$newline"*) refuse change ;;
  esac
  [ $# -le 4000 ] || refuse question
  shift
  for line in "$@"; do
    shift
    case $line in
    '#') ;;
    *$foreign*) refuse question ;;
    '# '*) set -- "$@" "${line#??}" ;;
    *) refuse question ;;
    esac
  done
  allowed "$@" || refuse question
  main "$nonce" "$@"
}

observer
