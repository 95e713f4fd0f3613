#!/bin/sh
# Reads all that is needed to decide about this mail host, in one go, and writes nothing.
# Called as: main NONCE RECORD... ; answers in frames (host/wire.ts): a line "NONCE name words", then raw bytes.
# Records, each with its words, in any order:
#   state DIR                       the ledger's directory
#   marker ID path GLOB             does a path exist that a distribution would have put there?
#   marker ID container WORD        does a running container have WORD in its image or labels?
#   marker ID line FILE TEXT        does FILE contain TEXT?
#   dovecot | postfix               describe this daemon
#   file PATH                       one more file (a pattern is expanded)
#   doveconf ID FILTERS NAME        effective value; FILTERS are words such as remote=192.0.2.1
#   postconf ID NAME                effective value, $names expanded
#   service ID SERVICE/TYPE NAME    effective value for one service of master.cf
#   lookup ID PARAMETER KEYS        the tables named by PARAMETER that have an entry for one of the KEYS; after postfix
#   hash ID SCHEME PASSWORD         a password hash made by doveadm
#   logins                          those with other characters than most, of passwd-files; after dovecot
#   surroundings                    who listens, what bans addresses; after dovecot (for a preview)
set -u
umask 077
newline='
'
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

frame() { printf '\n%s %s\n' "$nonce" "$*"; }

# clock: the seconds since the host was started, in $now. The shell does it alone; `date` would be a process each time.
clock() {
  read -r now _ </proc/uptime
  now=${now%%.*}
}

# No program on the host may make an observation wait: each has its limit, all have one together. Nothing reads from us.
run() {
  clock
  left=$((deadline - now))
  [ "$left" -lt 10 ] || left=10
  [ "$left" -gt 0 ] || return 124
  timeout -s KILL "$left" "$@" </dev/null
}

# told NAME TEXT STATUS: a frame with what a command said and how it ended.
told() {
  frame "$1"
  printf '%s\n\n%s status %s\n' "$2" "$nonce" "$3"
}

# answer NAME COMMAND...: tells what the command printed, and what it complained of.
answer() {
  part=$1
  shift
  said=$(run "$@" 2>&1)
  told "$part" "$said" "$?"
}

# files LIST: what the files of a list (one a line) are, then the bytes of all, in one go: a process a file would be most
# of an observation's time. Whoever reads that counts, since a file may change meanwhile.
files() (
  IFS=$newline
  set -f
  # shellcheck disable=SC2086 # lines
  set -- $1
  unset IFS
  for path in "$@"; do
    shift
    [ ! -f "$path" ] || set -- "$@" "$path"
  done
  [ $# = 0 ] || show "$@"
)
show() { whole "$@"; }
whole() {
  frame files "$#"
  stat -L -c '%a %u %g %s' -- "$@"
  printf '%s\n' "$@"
  realpath "$@" # of absolute paths; busybox knows no --
  cat -- "$@"
}

# dovecot_files FILE: it and all that it includes, one a line.
dovecot_files() (
  IFS=$newline
  seen=$newline patterns=$1
  while [ -n "$patterns" ]; do
    new=''
    # shellcheck disable=SC2086 # the patterns, one a line, are to be expanded
    for path in $patterns; do
      case $seen in *"$newline$path$newline"*) continue ;; esac
      [ -f "$path" ] || continue
      seen=$seen$path$newline new=$new$path$newline
    done
    # shellcheck disable=SC2086 # lines
    [ -z "$new" ] || new=$(awk '
      sub(/^[ \t]*!include(_try)?[ \t]+/, "") {
        sub(/[ \t\r]*( #.*)?$/, "")
        if (/^".*"$/) $0 = substr($0, 2, length($0) - 2)
        directory = FILENAME
        sub(/[^\/]*$/, "", directory)
        print (/^\// ? "" : directory) $0
      }' $new)
    patterns=$new
  done
  printf '%s' "$seen"
)

has_dovecot() { command -v doveconf >/dev/null && command -v dovecot >/dev/null; }

dovecot_part() {
  has_dovecot || return 0
  settings=$(run doveconf -n 2>&1)
  told doveconf "$settings" "$?"
  config=$(printf '%s\n' "$settings" | sed -n '/^# [0-9][^:]*: \//{s/^# [^:]*: //p;q;}')
  config=${config:-/etc/dovecot/dovecot.conf}
  files "$(dovecot_files "$config"; printf '%s\n' "${config%/*}"/pulumi-dovecot-postfix.*)"
  lookups
  answer sessions doveadm who -1
}

# database_files DRIVERS SETTING: the files of Dovecot's passdbs and userdbs of these drivers (2.3), or named by SETTING (2.4;
# "" for none), from what `dovecot` has read.
database_files() {
  printf '%s\n' "$settings" | awk -v drivers="^ *driver = ($1)\$" -v has_path="$2" '
    /^(passdb|userdb)/ { path = ""; is = 0 }
    $0 ~ drivers { is = 1 }
    /^ *args = / { path = $NF; sub(/^.*=/, "", path) }
    has_path != "" && $1 == has_path { path = $NF; is = 1 }
    /^}/ { if (is && path != "") print path; path = ""; is = 0 }' | sort -u
}

# lookups: the files that 2.3 keeps the settings of SQL and LDAP in, and of each only how a password is checked: the rest
# holds passwords.
lookups() {
  database_files "sql|ldap" "" | grep "^/" | while IFS= read -r path; do
    [ -f "$path" ] || continue
    frame lookups "$path"
    awk '/^[ \t]*(auth_bind|password_query)[ \t]*=/ { on = 1 } on { print; on = /\\$/ }' <"$path"
  done
}

postfix_names='mail_version config_directory daemon_directory queue_directory command_directory mynetworks smtpd_authorized_xclient_hosts
smtpd_milter_maps smtpd_milters relayhost default_transport transport_maps relay_domains
sender_dependent_relayhost_maps sender_dependent_default_transport_maps smtp_sasl_auth_enable smtp_sasl_password_maps
smtp_sender_dependent_authentication smtp_tls_security_level smtp_tls_policy_maps smtp_use_tls smtp_enforce_tls smtp_bind_address smtp_bind_address6 smtp_helo_name
myhostname mydomain myorigin mydestination virtual_mailbox_domains virtual_alias_domains inet_interfaces inet_protocols
smtpd_delay_reject smtpd_client_restrictions smtpd_helo_restrictions smtpd_helo_required smtpd_sender_restrictions
smtpd_relay_restrictions smtpd_recipient_restrictions smtpd_data_restrictions smtpd_end_of_data_restrictions
smtpd_sasl_tls_security_options smtpd_sasl_auth_enable postscreen_access_list
smtpd_upstream_proxy_protocol postscreen_upstream_proxy_protocol smtpd_tls_wrappermode master_service_disable'

postfix_part() {
  command -v postconf >/dev/null && command -v postfix >/dev/null || return 0
  # shellcheck disable=SC2086 # a list of names
  answer postconf postconf $postfix_names
  # shellcheck disable=SC2086
  expanded=$newline$(run postconf -x $postfix_names 2>&1)
  told expanded "$expanded" "$?"
  config=$(expanded config_directory)
  files "$(printf '%s\n' "$config/main.cf" "$config/master.cf" "$config"/pulumi-dovecot-postfix.*)"
  # What `postfix status` asks, which is a program for a dozen purposes: 0 where master's lock is free, 1 where it runs.
  said=$(run "$(expanded daemon_directory)/master" -t 2>&1)
  status=$?
  [ "$status" -gt 1 ] || status=$((1 - status))
  told running "$said" "$status"
  for map in $(expanded transport_maps | tr ',' ' '); do
    case $map in
    *:*) [ -z "$(run postmap -q '*' "$map" 2>/dev/null)" ] || { frame wildcard "$map"; } ;;
    esac
  done
}

# expanded NAME: a parameter's value, from what the postfix part has read; status 1: it has not.
expanded() {
  value=${expanded#*"$newline$1 ="}
  [ "$value" != "$expanded" ] || return 1
  value=${value%%"$newline"*}
  printf '%s\n' "${value# }"
}

# A daemon that is not installed, or a query for another version, answers nothing; that is an answer, too.
# What it complains of is no value: doveconf warns of a global setting behind a block, and answers right all the same.
query() {
  frame value "$1"
  shift
  { said=$(run "$@" 2>&1 >&3) && said=; } 3>&1
  status=$?
  printf '%s\n%s status %s\n' "$said" "$nonce" "$status"
}

# Asks a map for all keys at once: a program of Postfix that cannot open its table takes a second to die.
lookup() {
  frame value "$1"
  maps=$(expanded "$2" | tr ',' ' ')
  # What is written in the list itself is a password, which belongs in no process list.
  case $2.$maps in smtp_sasl_password_maps.*[{}]*) maps='' ;; esac
  for map in $maps; do
    case $map in
    static:*) ;;
    *:*) [ -z "$(keys "$3" | timeout 10 postmap -q - "$map" 2>/dev/null)" ] || printf '%s ' "$map" ;;
    esac
  done
  printf '\n%s status 0\n' "$nonce"
}

# keys WORDS: one a line, brackets and all.
keys() (
  set -f
  # shellcheck disable=SC2086 # words
  printf '%s\n' $1
)

# A commit that was cut off leaves a journal, or what it works with, or nothing at all. (Files of before without a ledger are
# another matter: somebody has deleted it. And what else lies there is somebody's.)
interrupted() {
  known=no
  for kept in "$1"/* "$1"/before/*; do
    case $kept in
    */journal | */journal.new | */journal.done | */work) known=no && break ;;
    */before) ;;
    *) [ ! -e "$kept" ] || known=yes ;;
    esac
  done
  [ "$known" = yes ] || echo interrupted
}

state() {
  [ ! -f "$1/README" ] || { read -r first <"$1/README"; frame readme "$first"; }
  # All that is left where a commit was cut off at its first or last step.
  [ ! -d "$1" ] || [ -d "$1/dovecot" ] || [ -d "$1/postfix" ] || frame state dovecot interrupted
  for daemon in dovecot postfix; do
    [ -d "$1/$daemon" ] || continue
    frame state "$daemon" "$(interrupted "$1/$daemon")"
    files "$(printf '%s\n' "$1/$daemon"/ledger*.json "$1/$daemon"/before/*)"
  done
}

# containers: image and labels of all that run.
containers() {
  for engine in docker podman; do
    ! command -v "$engine" >/dev/null || run "$engine" ps --no-trunc --format '{{.Image}} {{.Labels}}' 2>/dev/null
  done
}

marker() {
  case $2 in
  path)
    # shellcheck disable=SC2086 # the pattern is to be expanded
    for found in $3; do [ ! -e "$found" ] || frame marker "$1" "$found"; done
    ;;
  line) [ ! -f "$3" ] || ! grep -qF -- "$4" "$3" || frame marker "$1" "$3" ;;
  container)
    # Asked once, however many words are looked for: an engine that hangs would cost its time for each.
    [ -n "$containers" ] || containers=" $(containers)"
    case $containers in *"$3"*) frame marker "$1" "a running container" ;; esac
    ;;
  esac
}

# ignored FILE...: what fail2ban never bans in all jails, and in those for mail: "jail addresses". The last file counts.
ignored() {
  for path in "$@"; do
    shift
    [ ! -f "$path" ] || set -- "$@" "$path"
  done
  [ $# = 0 ] || awk '
    FNR == 1 { jail = option = "" }
    /^[ \t]*([#;]|$)/ { next }
    /^\[/ {
      jail = $0
      gsub(/^\[|\].*$/, "", jail)
      option = ""
      next
    }
    !/^[ \t]/ || option == "" {
      option = tolower($0)
      gsub(/[ \t]|[=:].*$/, "", option)
      sub(/^[^=:]*[=:]/, "")
      if (option == "ignoreip") value[jail] = ""
    }
    option == "ignoreip" { value[jail] = value[jail] " " $0 }
    END { for (jail in value) if (jail ~ /^(DEFAULT|postfix.*|dovecot.*|sieve|.*smtp.*|.*imap.*)$/) print jail value[jail] }' "$@" | sort
}

surroundings_part() {
  frame listening
  awk '$4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
  if [ -S /run/fail2ban/fail2ban.sock ]; then
    frame fail2ban
    ignored /etc/fail2ban/jail.conf /etc/fail2ban/jail.d/*.conf /etc/fail2ban/jail.local /etc/fail2ban/jail.d/*.local
  fi
  if [ -n "$settings" ]; then answer imap doveconf -f protocol=imap auth_mechanisms ssl mail_max_userip_connections; fi
}

logins_part() {
  frame logins
  database_files passwd-file passwd_file_path | while IFS= read -r path; do
    [ ! -f "$path" ] || cut -d : -f 1 -- "$path" | grep -v '^[A-Za-z0-9._@-]*$' | grep '^[^#[:space:]=][^[:space:]=]*$'
  done | head -n 1000
}

query_postconf() {
  if known=$(expanded "$2"); then
    told "value $1" "$known" 0
  else
    query "$1" postconf -xh "$2"
  fi
}

matching() {
  # shellcheck disable=SC2086 # the pattern is to be expanded
  files "$(printf '%s\n' $1)"
}

query_doveconf() {
  filters=
  for filter in $3; do filters="$filters -f $filter"; done
  # shellcheck disable=SC2086 # words of our own making
  query "$2" doveconf -h $filters "$4"
}

hash() {
  frame value "$1"
  # doveadm asks twice; printf is the shell's own, so the password is in no process list.
  printf '%s\n%s\n' "$3" "$3" | timeout -s KILL 10 doveadm pw -s "$2" 2>&1
  printf '\n%s status %s\n' "$nonce" "$?"
}

# answers SIDE RECORD...: to the records of one side: host, dovecot, values (of Dovecot, which need nothing else) or postfix.
answers() {
  side=$1
  shift
  while [ $# -gt 0 ]; do
    case $side.$1 in
    host.state) state "$2" ;;
    host.marker) marker "$2" "$3" "$4" "$5" ;;
    host.file) matching "$2" ;;
    dovecot.dovecot) dovecot_part ;;
    dovecot.surroundings) surroundings_part ;;
    dovecot.logins) logins_part ;;
    values.dovecot) ! has_dovecot || answer dovecot dovecot --version ;;
    values.doveconf) query_doveconf "$@" ;;
    values.hash) hash "$2" "$3" "$4" ;;
    postfix.postfix) postfix_part ;;
    postfix.postconf) query_postconf "$2" "$3" ;;
    postfix.service) query "$2" postconf -Ph "$3/$4" ;;
    postfix.lookup) lookup "$2" "$3" "$4" ;;
    esac
    case $1 in
    dovecot | postfix | surroundings | logins) shift ;;
    state | file) shift 2 ;;
    postconf) shift 3 ;;
    doveconf | service | lookup | hash) shift 4 ;;
    marker) shift 5 ;;
    *) frame unknown "$1"; return ;;
    esac
  done
  frame answered "$side"
}

main() {
  nonce=$1 containers='' expanded='' settings=''
  shift
  clock
  deadline=$((now + 30))
  printf '%s\n' "$nonce begin"
  frame host "$(id -u)" "$(for tool in flock timeout sha256sum stat realpath openssl posttls-finger; do command -v $tool >/dev/null || printf ' %s' "$tool"; done)"
  frame addresses
  { hostname -I 2>/dev/null || ip -o addr show scope global 2>/dev/null | sed 's/.* inet6\{0,1\} \([^/ ]*\).*/\1/'; } | tr -s ' ' '\n'
  # Side by side: what one side answers waits in the pipe until the one before it is out.
  answers postfix "$@" | {
    answers values "$@" | {
      answers host "$@"
      answers dovecot "$@"
      cat
    }
    cat
  }
  frame end
}
