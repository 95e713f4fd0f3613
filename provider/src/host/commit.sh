#!/bin/sh
# Changes this mail host, proves the change, and puts the old bytes back where the proof fails.
# Called as: main NONCE; then recover DAEMON DIR, once a daemon, or transactions RECORD..., before it keep STATE README UNDO
# where these are not on the host; then finish STATE, the ledger's directory. Answers in frames (host/wire.ts). The
# transactions of the two daemons run side by side; only Postfix's proof comes after Dovecot's.
#
# Records, each with its words:
#   transaction DAEMON DIR     what follows is of this daemon; DIR is its part of the ledger
#   file PATH OLD NEW MODE OWNER CONTENT   PATH, which must still be as planned from (OLD, a SHA-256 or "absent"), gets CONTENT
#                              (for printf %b; its SHA-256 is NEW); MODE and OWNER only for a file that is new, else what it has stays
#   gone PATH OLD              PATH goes
#   check CONFIG PATH          (dovecot) the staged fragment must be accepted together with the rest, which begins in CONFIG
#   probe SERVICE smtp|imap|pop3|sieve|auth HOST PORT MODE   what answered before must answer after; MODE: plain (STARTTLS
#                              where it is offered), implicit-tls or postscreen
#   effective ID doveconf|postconf|service SELECTOR NAME WORD   WORD must be in the effective value ("": only report it)
#   reload                     the daemon takes its configuration anew, once
#   flush                      forget cached logins (a reload does, too)
#   living                     what does not live before is not changed: it could not be proved
#
# Phases, in this order: expect, baseline, save (journal), stage, check, place, reload, prove, disarm. From `save` on, a
# journal tells what was there before; whoever finds one (a watchdog, the next operation) puts it back, last placed first. Where
# somebody has edited a file with our change in it meanwhile, the edit stays, and so does the ledger that can take our change out
# of it; the ledger of before (an empty one, if there was none) is then ledger.before.*.json, and the next operation reads both.
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

# within SECONDS: what is run from here on has ended by then, whatever hangs.
within() {
  clock
  deadline=$((now + $1))
}

# Children have a limit, read nothing from us, and do not hold the lock (descriptor 9; a watchdog's is 8). KILL, because we
# ignore TERM and busybox's timeout would hand that down.
run() {
  clock
  seconds=$((deadline - now))
  [ "$seconds" -lt 6 ] || seconds=6
  [ "$seconds" -gt 0 ] || seconds=1
  timeout -s KILL "$seconds" "$@" </dev/null 9<&- 8<&-
}
hung() { [ "$1" -ge 124 ]; }

# fail STEP TEXT: tells what failed; the caller undoes.
fail() {
  frame failed "$daemon" "$1"
  printf '%s\n' "$2"
  return 1
}

# each PHASE RECORD...: calls PHASE_record for every record of $daemon that takes part in the phase. Records without a
# transaction before them are of $daemon.
each() {
  phase=$1 of=$daemon
  shift
  while [ $# -gt 0 ]; do
    case $1 in
    transaction) words=3 of=$2 ;;
    file) words=7 ;;
    gone) words=3 ;;
    check) words=3 ;;
    probe) words=6 ;;
    effective) words=6 ;;
    reload | flush | living) words=1 ;;
    *) fail protocol "unknown record $1"; return 1 ;;
    esac
    case $phase.$1 in
    find.transaction | expect.file | expect.gone | save.file | save.gone | save.probe | stage.file | check.check | place.file | place.gone | \
      baseline.probe | living.probe | prove.probe | effective.effective | has.reload | has.flush | has.living)
      # Only its own words: the rest may be megabytes, copied each time.
      case $of.$words in
      "$daemon".1) "${phase}_$1" "$1" ;;
      "$daemon".3) "${phase}_$1" "$1" "$2" "$3" ;;
      "$daemon".6) "${phase}_$1" "$1" "$2" "$3" "$4" "$5" "$6" ;;
      "$daemon".7) "${phase}_$1" "$1" "$2" "$3" "$4" "$5" "$6" "$7" ;;
      esac || return 1
      ;;
    esac
    shift "$words"
  done
}

# sha256 COMMAND...: the digest of what it prints, in $digest.
sha256() {
  digest=$("$@" | sha256sum)
  digest=${digest%% *}
}
# digest PATH: a file's, in $digest.
digest() {
  digest=absent
  [ ! -f "$1" ] || { digest=$(sha256sum <"$1") && digest=${digest%% *}; }
}

# changed PATH: tells that somebody has edited it; the caller leaves it alone.
changed() {
  frame changed "$daemon"
  printf '%s\n' "$1"
  return 1
}

# --- expect: the files are still those that the plan was made from.
expect_file() {
  digest "$2"
  [ "$digest" = "$3" ] || changed "$2"
}
expect_gone() { expect_file "$@"; }

# --- save: a copy of every file that will change, armed by one rename.
save_file() {
  number=$((number + 1)) copy=- new=absent
  [ "$1" = gone ] || new=$4
  if [ -f "$2" ]; then
    copy=$number
    cp -a -- "$2" "$dir/journal.new/$copy" 2>"$work/said" || { fail save "cannot copy $2 to $dir: $(cat "$work/said")"; return 1; }
  fi
  listed="$copy $new $2$newline$listed"
}
save_gone() { save_file "$@"; }
save_probe() { printf '%s ' "$@" >>"$dir/journal.new/probes"; }

save() {
  rm -rf -- "$dir/journal.new"
  { mkdir -- "$dir/journal.new" && printf '' >"$dir/journal.new/probes" && echo "$reload" >"$dir/journal.new/reload" &&
    echo "$self" >"$dir/journal.new/pid" && echo "$nonce" >"$dir/journal.new/id"; } 2>/dev/null ||
    { fail save "cannot write in $dir (disk full?)"; return 1; }
  number=0 listed=''
  each save "$@" || return 1
  printf '%s' "$listed" >"$dir/journal.new/files" || { fail save "cannot write the journal in $dir"; return 1; }
  durable "$dir/journal.new"/* "$dir/journal.new"
  mv -- "$dir/journal.new" "$dir/journal" || { fail save "cannot arm the journal in $dir"; return 1; }
  durable "$dir"
}

# After a power cut a renamed file could be empty, if its bytes were not on the disk before.
durable() { run sync -- "$@" 2>/dev/null || run sync; }
# durable_lines PATHS: one a line.
durable_lines() {
  IFS=$newline
  # shellcheck disable=SC2086 # lines
  set -- $1
  unset IFS
  [ $# = 0 ] || durable "$@"
}

# beside PATH: where its new bytes ($fresh) and its old ones ($former) wait to take its place, or have left it, and what is being
# written over it ($half, while it is). Hidden, so that no daemon that includes all files of the directory reads them.
beside() {
  fresh=${1%/*}/.${1##*/}.pulumi-new
  former=${1%/*}/.${1##*/}.pulumi-old
  half=${1%/*}/.${1##*/}.pulumi-half
}

# --- stage: the new bytes beside the old file, with its owner, mode and attributes.
stage_file() {
  beside "$2"
  if [ -f "$2" ]; then
    cp -a -- "$2" "$fresh" && printf '%b' "$7" >"$fresh"
  else
    { [ -d "${2%/*}" ] || mkdir -p -- "${2%/*}"; } && printf '%b' "$7" >"$fresh" &&
      { [ "$6" = 0:0 ] || chown -- "$6" "$fresh"; } && chmod -- "$5" "$fresh"
  fi 2>"$work/said" || { fail stage "cannot write beside $2: $(sed 's|I/O error|& (disk full?)|' "$work/said")"; return 1; }
  case $daemon in
  # Its programs wait a second or two for a file of this very moment to settle (measured), each of them; ours is whole.
  postfix) touch -d "@$((wall - 3))" -- "$fresh" ;;
  # It reads a password file again when its time, in whole seconds, or its size is another (measured).
  dovecot)
    if [ -f "$2" ]; then
      times=$(stat -c %Y -- "$2" "$fresh")
      [ "${times%"$newline"*}" != "${times#*"$newline"}" ] || touch -d "@$((${times#*"$newline"} + 1))" -- "$fresh"
    fi
    ;;
  esac
  staged=$staged$fresh$newline
  digest "$fresh"
  [ "$digest" = "$4" ] || { fail stage "what was written beside $2 is not what was sent (disk full?)"; return 1; }
}

stage() {
  staged=''
  each stage "$@" && durable_lines "$staged"
}

# --- check: the daemon's own tool reads the staged result before it is live.
check_check() {
  beside "$3"
  {
    sed -n '/^[[:space:]]*dovecot_config_version/{p;q;}' "$2"
    printf '!include %s\n!include %s\n' "$2" "$fresh"
  } >"$work/staged.conf"
  said=$(run doveconf -c "$work/staged.conf" -n 2>&1 >/dev/null) || { hung $? && said='it does not end'; fail check "doveconf refuses the new settings: $said"; return 1; }
}

# --- place: one rename a file. A file with other hard links keeps them: its bytes are written in place.
# put FILE PATH
put() {
  if [ -f "$2" ] && [ "$(stat -c %h -- "$2")" -gt 1 ]; then
    { [ -f "$half" ] || ln -- "$1" "$half"; } && cat -- "$1" >"$2" && touch -r "$1" -- "$2" && rm -f -- "$1" "$half"
  else
    mv -f -- "$1" "$2"
  fi && placed "$2"
}
# take_away PATH DIGEST: status 2 where somebody has just written to it, which stays.
take_away() {
  mv -f -- "$1" "$former" || return 1
  digest "$former"
  [ "$digest" = "$2" ] || { mv -f -- "$former" "$1"; return 2; }
  rm -f -- "$former" && placed "${1%/*}"
}
# placed PATH: must be on the disk before the journal goes.
placed() { in_place="$in_place$1$newline${1%/*}$newline"; }

# Somebody may have edited the file since `expect`. Who adds to it between this look and the rename has added to the old
# file, which descriptor 8 keeps.
place_file() {
  if [ -f "$2" ]; then holding "$2" replace_spared "$@"; else replace "$@"; fi
}
# holding PATH FUNCTION WORD...
holding() {
  held=$1
  shift
  "$@" 8<"$held"
}
replace_spared() {
  replace "$@" || return 1
  ! spared "$2" "$3" "$4" || return 0
  printf '' >"$fresh" # the mark of a file that ours has not replaced
  changed "$2"
}
replace() {
  expect_file "$@" || return 1
  beside "$2"
  put "$fresh" "$2" 2>"$work/said" || { fail place "cannot put $2 in place: $(cat "$work/said")"; return 1; }
}
# spared PATH DIGEST...: whether nobody has added to the file that descriptor 8 keeps, which had one of these; else it comes back.
spared() {
  digest /proc/self/fd/8
  case $digest in "$2" | "$3") return 0 ;; esac
  cp -a -- "$1" "$fresh" && cat <&8 >"$fresh" && put "$fresh" "$1"
  return 1
}
place_gone() {
  expect_file "$@" || return 1
  beside "$2"
  take_away "$2" "$3" 2>"$work/said"
  case $? in
  0) ;;
  2) changed "$2" ;;
  *) fail place "cannot remove $2: $(cat "$work/said")" ;;
  esac
}

# --- probes: a service lives when it greets and answers.
# probe_once KIND HOST PORT MODE: prints the dialogue.
probe_once() {
  ulimit -f 128 # 64 KiB: no answer has to be that long
  case $1 in
  smtp)
    level='-l may' patience=4 limit=run
    [ "$4" != implicit-tls ] || level='-w -l encrypt'
    # It lets a stranger wait for 6 s, once a day (postscreen_greet_wait), and the host itself may be one.
    [ "$4" != postscreen ] || patience=8 limit='timeout -s KILL 9'
    # shellcheck disable=SC2086 # options
    $limit posttls-finger -c $level -t "$patience" -T 4 "[$2]:$3" </dev/null 2>&1 9<&- && echo 'ended well' || echo "posttls-finger ended with status $?"
    ;;
  # The quick proof that auth lives: begin PLAIN and abort it, which is no failed login.
  imap) printf 'a AUTHENTICATE PLAIN\r\n*\r\nb LOGOUT\r\n' | tls "$@" ;;
  pop3) printf 'AUTH PLAIN\r\n*\r\nQUIT\r\n' | tls "$@" ;;
  sieve) printf 'LOGOUT\r\n' | tls "$@" ;;
  auth) run doveadm user pulumi-dovecot-postfix-probe 2>&1 ;;
  esac
}

# tls KIND HOST PORT MODE: sends stdin, prints the answer.
tls() {
  if [ "$4" = implicit-tls ]; then set -- "$2:$3"; else set -- "$2:$3" -starttls "$1"; fi
  # It need not trust anybody, and to read the system's list of whom to trust takes it most of its time (measured).
  SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null timeout -s KILL 4 openssl s_client -quiet -connect "$@" 2>&1 9<&-
}

# lives KIND FILE: judges a dialogue, by the shell alone. posttls-finger exits 0 whatever happens, and tells of a good session
# only its TLS, and what it dislikes in main.cf. Of what could not be written down, on a full disk, the end is missing.
lives() {
  [ -f "$2" ] || return 1
  whole=no
  while IFS= read -r line || [ -n "$line" ]; do
    case $1.$line in
    smtp.'ended well') whole=yes ;;
    smtp.*'TLS connection established to'* | smtp.*subject_CN=* | smtp.*certificate* | smtp.*'warning: /'*) ;;
    smtp.*) return 1 ;;
    imap.'b OK'* | pop3.'+ '* | sieve.'OK '* | auth.*"doesn't exist"* | auth.uid*) return 0 ;;
    esac
  done <"$2"
  [ "$whole" = yes ]
}
# words_of FILE: the last of a dialogue.
words_of() { grep -vx 'ended well' "$1" | tail -n 3; }

baseline_probe() {
  count=$((count + 1))
  probe_once "$3" "$4" "$5" "$6" >"$work/before.$count" 9<&- &
}

# Services that did not answer before are not judged: a port that nothing listens on is silent, the rest is told.
prove_probe() {
  count=$((count + 1))
  if lives "$3" "$work/before.$count"; then
    (probe_once "$3" "$4" "$5" "$6" >"$work/after.$count") 9<&- &
    awaited="$awaited $count:$3:$2"
  elif [ "$round" = 1 ] && ! grep -qiE 'refused|missing|not found' "$work/before.$count"; then
    frame broken-before "$daemon" "$2"
    words_of "$work/before.$count"
  fi
  return 0 # nobody may be there to read it
}

# living RECORD...: whether anything answers before the change. All of Dovecot's logins need its auth.
living_probe() {
  count=$((count + 1))
  if lives "$3" "$work/before.$count"; then
    alive=yes
  else
    dead=yes
    [ "$3" != auth ] || { alive=no; return 1; }
  fi
}
living() {
  count=0 alive='' dead=''
  each living "$@"
}
# baselines RECORD...: what answers before the change.
baselines() {
  living "$@"
  if [ "$daemon.$dead" = postfix.yes ]; then
    # It may have met the reload of the other side.
    turn
    count=0
    each baseline "$@"
    wait
    living "$@"
  fi
}

# probes RECORD...: all at once; a second round for what a busy host answered too late.
probes() {
  turn
  for round in 1 2; do
    count=0 awaited='' silent=''
    each prove "$@"
    wait
    unasked=''
    printf x 2>/dev/null >"$work/room" || unasked=unasked
    for one in $awaited; do
      number=${one%%:*} rest=${one#*:}
      lives "${rest%%:*}" "$work/after.$number" || silent="$silent$(printf '\n%s does not answer: %s' "${rest#*:}" "$(words_of "$work/after.$number" | tr '\n' ' ')")"
    done
    [ -n "$silent" ] || return 0
    # What died at its start says so, or its master does, and does not answer later either.
    [ "$daemon" != postfix ] || ! log_since | grep -qE 'fatal:|bad command startup -- throttling' || return 1
  done
  return 1
}

# --- reload: once, and only of a daemon that runs.
has_reload() { reload=yes; }
has_flush() { flush=yes; }
has_living() { must_live=yes; }

# running: status 0 it does (and Dovecot's log process is noted), 124 and more: its tool does not end.
running() {
  case $daemon in
  dovecot) run doveadm process status log >"$work/log" ;;
  # What `postfix status` asks, which is a program for a dozen purposes: status 1 where master's lock is held.
  postfix)
    run "$(run postconf -h daemon_directory)/master" -t
    status=$?
    case $status in 0) false ;; 1) true ;; *) return "$status" ;; esac
    ;;
  esac 2>/dev/null
}

# log_process: the one that `running` has noted, in $log. Each reload that the master takes starts another.
log_process() {
  log=''
  while read -r _ id _; do log=$id; done <"$work/log"
}

# The daemons take the signal and go on; a probe that comes at once could still meet a process of before.
reload_daemon() {
  case $daemon in
  dovecot)
    log_process
    before=$log
    run doveadm reload >"$work/said" 2>&1 || { hung $? && echo 'doveadm reload does not end' >"$work/said"; return 1; }
    # A master that cannot use the new settings keeps the old ones and says so in the log alone.
    [ -n "$before" ] || return 0
    clock
    patience=$((now + 4))
    while [ "$now" -lt "$patience" ]; do
      running
      log_process
      [ "$log" = "$before" ] || return 0
      sleep 0.05
      clock
    done
    echo 'doveadm reload ends well, but Dovecot goes on with the old settings' >"$work/said"
    return 1
    ;;
  postfix)
    run postfix reload >"$work/said" 2>&1 || { hung $? && echo 'postfix reload does not end' >"$work/said"; return 1; }
    sleep 0.1
    ;;
  esac
}

# A Postfix service whose process died at its start is throttled by master for 60 s, and a reload does not end that
# (measured on 3.7 and 3.10): only a new start does. And a daemon that a reload has ended must be started.
restart_daemon() {
  printf '' 2>/dev/null >"$dir/journal/stopped" # so it is for who mends this to start it
  if [ -d /run/systemd/system ]; then
    set -- systemctl restart "$daemon"
  elif [ "$daemon" = postfix ]; then
    run postfix stop
    set -- postfix start
  else
    set -- dovecot
  fi >/dev/null 2>&1
  timeout -s KILL 15 "$@" </dev/null >/dev/null 2>&1 9<&- 8<&-
  within 10
}

# --- effective: what the daemon's own tool says the value is now.
# asked COMMAND...: what it prints, or complains of where it fails. A warning beside the value, such as of a parameter that
# main.cf has twice, is no part of it.
asked() { run "$@" 2>"$work/said" || { cat "$work/said" && return 1; }; }

effective_effective() {
  case $3 in
  doveconf)
    filters=
    for filter in $4; do filters="$filters -f $filter"; done
    # shellcheck disable=SC2086 # words of our own making
    value=$(asked doveconf -h $filters "$5")
    ;;
  postconf) value=$(asked postconf -xh "$5") ;;
  service) value=$(asked postconf -Ph "$4/$5") ;;
  esac
  status=$?
  frame value "$2"
  printf '%s\n%s status %s\n' "$value" "$nonce" "$status"
  [ "$status" = 0 ] && [ -z "$6" ] && return 0
  case " $(printf '%s' "$value" | tr ',\n\t' '   ') " in *" $6 "*) return 0 ;; esac
  fail effective "$5 does not hold $6 for ${4:-the host}; it is: $value"
}

# proved RECORD...: the services are asked while the values are: each waits for its daemon most of the time.
proved() {
  (each effective "$@" && printf '' >"$work/in-force") >"$work/values" 9<&- &
  durable_lines "$in_place" 9<&- &
  [ "$reload" != yes ] || probes "$@" || { cat "$work/values"; fail prove "$silent"; return 1; }
  wait
  cat "$work/values"
  [ -e "$work/in-force" ]
}

# --- the daemons' own words since we began, for an error.
log_files='/var/log/mail.log /var/log/maillog /var/log/dovecot.log /var/log/syslog /var/log/messages'
log_mark() {
  # shellcheck disable=SC2086 # a list of names; those that are not there are no error
  stat -L -c '%s %n' $log_files >"$work/logs" 2>/dev/null
  wall=$(date +%s)
  echo "$wall" >"$work/since"
}
# A log file may be there from before, and all goes to the journal now.
log_since() {
  grown=$([ ! -s "$work/logs" ] || while read -r size log; do tail -c "+$((size + 1))" "$log"; done <"$work/logs")
  if [ -n "$grown" ]; then
    printf '%s\n' "$grown"
  elif [ -f "$work/since" ] && command -v journalctl >/dev/null; then
    run journalctl -q --no-pager -o cat --since "@$(cat "$work/since")"
  fi
} 2>/dev/null
log_words() { log_since | grep -E 'fatal:|panic:|Fatal:|Panic:|Error:|error:' | tail -n 5; }

# --- undo: the journal's bytes back, unless somebody has put their own there meanwhile.
undo_files() {
  left='' lost='' in_place=''
  each_saved outside put_back
  if [ -z "$left" ]; then each_saved inside put_back; else each_saved inside keep_both; fi
  [ -z "$left" ] || { frame left "$daemon"; printf '%s\n' "$left"; }
  [ -z "$lost" ] || { frame lost "$daemon"; printf '%s\n' "$lost"; }
}

# each_saved outside|inside FUNCTION: for the files of the journal that are outside or inside the ledger's directory, with
# $path, $saved (its copy; empty: it was not there), $old and $new (digests) and $now. What cannot be read is not judged.
each_saved() {
  while read -r copy new path; do
    [ -n "$path" ] || continue
    case $path in "$dir"/*) where=inside ;; *) where=outside ;; esac
    [ "$where" = "$1" ] || continue
    saved='' old=absent mark=$dir/journal/$copy.half
    if [ "$copy" != - ]; then
      saved=$dir/journal/$copy
      { [ -f "$saved" ] && digest "$saved"; } || { lost="$lost $path" && continue; }
      old=$digest
    fi
    digest "$path" || { lost="$lost $path" && continue; }
    now=$digest
    "$2"
  done <"$dir/journal/files"
}

put_back() {
  beside "$path"
  staged=no found=$now
  if [ -f "$half" ] || [ -f "$mark" ]; then
    # A write in place that was cut off is nobody's edit.
    ! torn || now=$new
  elif [ -f "$fresh" ]; then
    staged=yes
  fi
  if [ "$now" = "$old" ]; then
    :
  elif [ "$now" != "$new" ]; then
    # Not ours, not of before: an edit. Had ours not been placed yet, there is nothing of ours in it.
    [ "$staged" = yes ] || [ "$new" = absent ] || left="$left $path"
  elif [ -z "$saved" ]; then
    take_away "$path" "$found"
    case $? in
    0) ;;
    2) left="$left $path" ;;
    *) lost="$lost $path" && return ;;
    esac
  else
    if [ -f "$path" ]; then holding "$path" restore_spared; else restore; fi || { lost="$lost $path" && return; }
  fi
  rm -f -- "$fresh" "$former" "$half" "$mark"
}

restore() { { cp -a -- "$saved" "$former" && put "$former" "$path"; } || overwrite; }

restore_spared() { restore && { spared "$path" "$old" "$found" || left="$left $path"; }; }

# On a full disk there may be no room for one file more, but for the same one. While it is written there is $mark, a second name
# of the copy, which needs no room.
overwrite() {
  ln -f -- "$saved" "$mark" || return 1
  rm -f -- "$fresh" "$former"
  cat -- "$saved" >"$path" && chmod -- "$(stat -c %a -- "$saved")" "$path" && chown -- "$(stat -c %u:%g -- "$saved")" "$path" &&
    digest "$path" && [ "$digest" = "$old" ] && placed "$path"
}

# torn: $path holds the beginning of what was there before, or of what was written over it.
torn() {
  [ -f "$path" ] || return 1
  size=$(($(wc -c <"$path")))
  for whole in "$saved" "$half"; do
    [ -f "$whole" ] || continue
    sha256 head -c "$size" "$whole"
    [ "$digest" != "$now" ] || return 0
  done
  return 1
}

# What of ours is in an edited file, the newer ledger knows; what is in the files that were put back, the older.
keep_both() {
  case $path in
  */ledger.json)
    former_ledger=$dir/ledger.before.$(printf %.8s "$old").json
    beside "$former_ledger"
    { older >"$fresh" && mv -f -- "$fresh" "$former_ledger"; } || lost="$lost $path"
    ;;
  *)
    beside "$path"
    [ -z "$saved" ] || [ "$now" != absent ] || { cp -a -- "$saved" "$fresh" && mv -f -- "$fresh" "$path"; } || lost="$lost $path"
    ;;
  esac
}
older() {
  if [ -n "$saved" ]; then
    cat -- "$saved"
  else
    printf '{\n  "version": 1,\n  "contributions": {},\n  "files": {}\n}\n'
  fi
}

clear_journal() { mv -- "$dir/journal" "$dir/journal.done"; }
clear_undone() {
  durable_lines "$in_place"
  clear_journal
}

forget_empty() { # nothing of ours in it: no directory either
  [ ! -d "$dir/journal" ] || return 0
  rm -rf -- "$dir"/.*.pulumi-* "$dir"/before/.*.pulumi-* "$dir/journal.new" "$dir/journal.done" "$work"
  rmdir -- "$dir/before" "$dir" 2>/dev/null
  return 0
}

# settle RECORD...: the daemon takes the old files, and is asked whether it lives. No reload for what was never in place.
settle() {
  within 10
  if [ "$reload" = yes ] && [ -e "$dir/journal/live" ]; then
    log_mark
    if [ "$daemon" = postfix ] && [ -n "$silent" ]; then
      # The proof has met services that died: a reload would not wake them.
      restart_daemon
      probes "$@"
    else
      if running || hung $?; then reload_daemon; else restart_daemon; fi
      if ! probes "$@" && [ "$daemon" = postfix ]; then
        restart_daemon
        probes "$@"
      fi
    fi
  fi
  [ -n "$lost" ] || clear_undone
  forget_empty
}

# The watchdog waits for the lock, which the commit holds while it lives. Is there still a journal then, the commit died.
# It holds no descriptor of the SSH session, so it outlives it; after 50 s it ends a commit that hangs. It is a child of
# nobody here, or `wait` would wait for it.
watchdog() {
  exec 9<&- >/dev/null 2>&1 </dev/null 8</var/lib
  flock -w 50 8 || { still_there && kill -9 "$$"; sides ended "$@"; flock -w 5 8; } || return
  sides undone "$@"
  tidy "${3%/*}"
}
# Of that number there may be another process by now: ours has the lock's file open.
still_there() { [ "$(readlink "/proc/$$/fd/9")" = "$(readlink /proc/self/fd/8)" ]; }
armed() { [ "$(cat "$dir/journal/id")" = "$nonce" ]; }
ended() { ! armed || kill -9 "$(cat "$dir/journal/pid")"; }
undone() { ! armed || recover "$daemon" "$dir" ours; }

# transactions RECORD...
transactions() {
  (watchdog "$@" &)
  sides transaction "$@"
}

# sides FUNCTION RECORD...: calls it for each daemon that has a transaction, side by side.
sides() {
  side dovecot "$@" | {
    side postfix "$@"
    cat
  }
}

# turn: for Postfix to wait until Dovecot's side has ended, whose answer comes out then. Postfix's logins need Dovecot's auth:
# an smtpd that starts while auth starts anew may die of it (measured), and master would not start another one for a minute.
# How long that took is not taken from the time that its own services have.
turn() {
  [ "${abreast-}" = postfix ] || return 0
  cat
  abreast=''
  within 9
}
side() {
  daemon=$1 call=$2 dir='' abreast=$1
  shift 2
  self=$(exec sh -c 'echo "$PPID"')
  each find "$@"
  work=$dir/work
  [ -z "$dir" ] || "$call" "$@"
}
find_transaction() { dir=$3; }

# transaction RECORD...: this daemon's share; it is committed, or undone.
transaction() {
  recover "$daemon" "$dir" # what another operation left since the observation
  [ ! -d "$dir/journal" ] || { fail recover "these files could not be put back: $lost"; return 1; }
  reload=no flush=no must_live=no count=0 silent='' in_place='' unasked=''
  within 12
  each has "$@" || return 1
  each expect "$@" || return 1
  { mkdir -p -- "$work" && log_mark; } 2>/dev/null || { fail save "cannot write in the ledger's directory $dir (disk full, or read-only?)"; forget_empty; return 1; }
  if [ "$reload" = yes ]; then
    each baseline "$@"
    running || { hung $? && reload=unknown || reload=stopped; }
    [ "$reload" != unknown ] || { fail running "its own tool does not answer"; abandon; return 1; }
  fi
  if ! { save "$@" && stage "$@" && each check "$@"; }; then
    abandon
    return 1
  fi
  wait
  [ "$reload" != yes ] || baselines "$@"
  if [ "$reload.$must_live" = yes.yes ] && [ "$alive" != yes ] && [ "$count" -gt 0 ]; then
    fail living "$(run doveadm log errors 2>/dev/null | tail -n 3; log_words)"
    abandon
    return 1
  fi
  # Who undoes this reloads where it stands. (Not `:`, a special builtin: where it cannot write, dash exits.)
  printf '' 2>/dev/null >"$dir/journal/live" || {
    fail save "cannot write in the ledger's directory $dir (disk full?)"
    abandon
    return 1
  }
  within 9
  if each place "$@" && { [ "$reload" != yes ] || reload_daemon || fail reload "$(cat "$work/said")"; } &&
    proved "$@" && { clear_journal 2>/dev/null || fail disarm "cannot rename $dir/journal (disk full, or read-only?)"; }; then
    [ "$flush.$reload" != yes.no ] || run doveadm auth cache flush >/dev/null 2>&1
    frame committed "$daemon" "$reload"
    forget_empty
  else
    undo_files
    frame words "$daemon"
    log_words
    settle "$@"
    frame undone "$daemon" "$unasked"
    printf '%s\n' "${silent-}"
  fi
}

# Before anything is live: take away what was prepared.
abandon() {
  wait
  [ ! -d "$dir/journal" ] || { undo_files; clear_undone; }
  forget_empty
}

# recover DAEMON DIR [ours]: an operation before this one was killed; put its journal back, and take away what it left.
# ours: it is the commit whose watchdog asks.
recover() {
  daemon=$1 dir=$2 work=$2/work silent='' lost=''
  [ -d "$dir" ] || return 0
  [ -d "$dir/journal" ] || { forget_empty; return 0; }
  mkdir -p -- "$work"
  within 10
  reload=$(cat "$dir/journal/reload" 2>/dev/null) || reload=yes
  # A daemon that does not run now may have been stopped by somebody, and is not for us to start; right after our own
  # reload it was that.
  running || hung $? || [ $# = 3 ] || [ -e "$dir/journal/stopped" ] || reload=no
  undo_files
  # shellcheck disable=SC2046 # words of our own making
  settle $(cat "$dir/journal/probes")
  [ -d "$dir/journal" ] || frame recovered "$daemon"
}

main() {
  nonce=$1
  printf '%s\n' "$nonce begin"
  # From here on a lost link does not stop us: the commit ends, proved or undone.
  trap '' HUP PIPE INT TERM
  exec 9</var/lib
  flock -w 1 9 || { frame waiting; flock -w 60 9; } || { frame locked; frame end; exit 75; }
}

# keep STATE README UNDO: how root takes all of it back without Pulumi (host/undo.ts). README comes last: who reads its first
# line knows that undo is whole. Where there is no room for it, the commit goes on without.
keep() {
  { mkdir -p -- "$1" && printf '%s\n' "$3" >"$1/undo" && chmod 700 -- "$1/undo" && printf '%s\n' "$2" >"$1/README"; } 2>/dev/null ||
    rm -f -- "$1/README" "$1/undo"
}

# tidy STATE: nothing of ours on the host: no directory either.
tidy() {
  [ ! -d "$1/dovecot" ] && [ ! -d "$1/postfix" ] || return 0
  rm -f -- "$1/README" "$1/undo"
  rmdir -- "$1" 2>/dev/null
}

finish() {
  tidy "$1"
  frame end
}
