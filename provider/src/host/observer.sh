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
path /opt/iredmail/custom
path /root/.iredmail/kv
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
# What follows the name of a secret is one, unless it says where the secret is kept, yes or no. plan/mask.ts does the same, line
# by line: a test compares them.
secrets() {
  show=$1
  shift
  awk -v show="$show" '
    BEGIN {
      secret = "pass|pw|secret|token|nonce|credential|key|authorization|api_header"
      named = "(^|[ \t])--?[a-z0-9_-]+[ \t=:]+|[a-z0-9_]+\"?[ \t]*[=:][ \t]*"
      head = "^[# \t]*[a-z0-9_]*query[ \t]*=[ \t]*\"?"
    }
    function is_secret(name, value) {
      sub(/^[# \t]+/, "", value)
      # Dovecot 2.4: passdb_driver, but passdb_static_password.
      sub(/^passdb/, "", name)
      if (name !~ secret) return 0
      if (name ~ /_maps$/) return value ~ /static:|inline:|[{]/
      if (name ~ /[_-](file|path|dir|keytab|schemes?)$/) return value ~ /^inline:/
      if (value ~ /^(yes|no|y|n)([ \t]|$)/ || value ~ /^<[ \t]*[\/]/ || value ~ /^[$][({]?[a-z_]+[)}]?[ \t]*$/) return 0
      return value != "" && value !~ /^["\047]?%([{][^}]*[}]|[a-z])["\047]?([ \t,;)]|$)/
    }
    # How much of a setting comes before its first secret.
    function open_part(text,    low, at, seen, name) {
      seen = length(text)
      # A password in an address: mysql://user:password@host
      if (match(text, /:[\/][\/][^\/@ \t]*:[^@ \t]*@/)) seen = RSTART + 2
      low = tolower(text)
      at = 0
      while (match(substr(low, at + 1), named)) {
        name = substr(low, at + RSTART, RLENGTH)
        sub(/"?[ \t]*[=:]?[ \t]*$/, "", name)
        at += RSTART + RLENGTH - 1
        if (at >= seen) break
        if (is_secret(name, substr(low, at + 1))) return at
      }
      return seen
    }
    # How a password is asked for has to be seen: of SQL, only what is quoted and no variable is hidden.
    function without_literals(text,    before, quoted) {
      before = match(tolower(text), head) ? substr(text, 1, RLENGTH) : ""
      text = substr(text, length(before) + 1)
      while (match(text, /\047[^\047]*\047|"[^"]*"/)) {
        quoted = substr(text, RSTART, RLENGTH)
        before = before substr(text, 1, RSTART - 1) (quoted ~ /%/ ? quoted : "{...}")
        text = substr(text, RSTART + RLENGTH)
      }
      return before text
    }
    # One setting: the lines of this group.
    function hide(group, from, to,    i, flat, seen, query, start, open_end, size) {
      flat = ""
      for (i = from; i <= to; i++) if (group_of[i] == group) flat = flat lines[i] " "
      query = tolower(flat) ~ head
      seen = open_part(flat)
      for (i = from; i <= to; i++) {
        if (group_of[i] != group) continue
        size = length(lines[i])
        if (query) lines[i] = without_literals(lines[i])
        else if (seen < size) {
          match(lines[i], /^[# \t]*/)
          start = seen > RLENGTH ? seen : RLENGTH
          open_end = !postfix && match(lines[i], /[ \t]*\\[ \t\r]*$/) ? substr(lines[i], RSTART) : ""
          lines[i] = substr(lines[i], 1, start) "{...}" open_end
        }
        seen -= size + 1
      }
    }
    # What is commented out goes on, too: further in, or in its brackets.
    function comment(line,    blank) {
      match(line, /^[# \t]*/)
      blank = RLENGTH
      if (!setting || (depth < 1 && blank <= indent)) {
        first[++groups] = count
        depth = 0
        indent = blank
        setting = line ~ /^[ \t]*#[# \t]*[A-Za-z0-9_]+[ \t]*=/
      }
      last[groups] = count
      depth += gsub(/[{]/, "", line) - gsub(/[}]/, "", line)
      return groups
    }
    function flush(    i) {
      hide(0, 1, count)
      for (i = 1; i <= groups; i++) hide(i, first[i], last[i])
      for (i = 1; i <= count; i++) put(raw[i], lines[i])
      count = groups = setting = 0
    }
    function put(from, to) {
      if (from != to) found = 1
      if (show == "text") print to
    }
    function done() {
      flush()
      if (found && show == "names") print file
      found = 0
      open = 0
    }
    FNR == 1 {
      done()
      file = FILENAME
      postfix = file ~ /(main|master)[.]cf$/
      password_file = file ~ /pulumi-dovecot-postfix[.]master[.]/
    }
    # Ours, and without a secret; what Postfix and Dovecot call a key is none there.
    file ~ /[\/]ledger[a-z0-9.]*[.]json$/ {
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
      beside = /^[ \t]*(#|$)/ && (postfix || !open)
      if (!beside && !(postfix ? /^[ \t]/ : open)) flush()
      count++
      raw[count] = lines[count] = $0
      group_of[count] = beside ? comment($0) : 0
      if (beside) next
      setting = 0
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
