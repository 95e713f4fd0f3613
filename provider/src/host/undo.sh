#!/bin/sh
# shellcheck disable=SC2154 # what commit.sh sets
# Takes everything of ours back without Pulumi. It lies on the host beside the ledger, behind commit.sh in one file
# (host/undo.ts): what it takes out is one more commit, with lock, journal, watchdog, proof, and the old bytes where that fails.
# Called as: undo DIR WORD...; DIR is the ledger's. Needs awk, no Node: it reads the ledger as ledgerText lays it out.
#
# A daemon's share goes whole or not at all: a main.cf that stays may need a table of ours, a fragment a password file.

usage() {
  cat <<END
What pulumi-dovecot-postfix has put on this host, and how to take it back without Pulumi.

  $0             shows what is ours and what would be taken out; changes nothing
  $0 --yes       takes it out, reloads what runs, and proves that what answered before still does
  $0 --yes --by-hand
                       the same; files that it cannot take ours out of are left and forgotten: you have edited them
END
}

# Frames for people, instead of commit.sh's for a program; the text that belongs to each comes behind it.
frame() {
  case $1 in
  waiting) echo 'Another operation holds the lock on /var/lib; it is waited for, up to 60 s.' >&2 ;;
  locked) echo 'Another operation has held the lock on /var/lib for 60 s (fuser -v /var/lib). Nothing was changed.' >&2 ;;
  recovered) echo "$2: an operation was cut off; its files of before are back." ;;
  changed) echo "$2: somebody has just edited this file. Nothing was changed; run this again." ;;
  broken-before) echo "$2: $3 does not answer, and did not before:" ;;
  failed) echo "$2: failed ($3), so nothing of it is taken out:" ;;
  words) echo "$2: its own words:" ;;
  undone)
    case $left$lost in '') files=files ;; *) files='other files' ;; esac
    echo "$2: the $files are again as they were before this attempt."
    ;;
  left) echo "$2: somebody has edited these files meanwhile; they were left as they are:" ;;
  lost) echo "$2: these files could not be put back; they are in $state/$2/journal:" ;;
  committed)
    case $3 in
    yes) echo "$2: taken out, and reloaded; what answered before answers." ;;
    stopped) echo "$2: taken out; it does not run, so it was not reloaded." ;;
    *) echo "$2: taken out; no reload was needed." ;;
    esac
    ;;
  esac
}

# owners DAEMON: whose it is, one a line.
owners() {
  cat -- "$state/$1"/ledger*.json | awk '
    /^  "[a-z]/ { whose = /^  "contributions"/ }
    whose && /^    "/ { print "  " substr($0, 6, length($0) - 9) }' | sort -u
}

# touched DAEMON: a line for each file of the ledger (or of both, after an edit met a change that was cut off): its digest as we wrote it, its digest before us (null: it was not
# there), its format, its path.
touched() {
  cat -- "$state/$1"/ledger*.json | awk '
    /^  "[a-z]/ { files = /^  "files"/ }
    files && /^    "/ { path = substr($0, 6, length($0) - 9) }
    files && /^      "(format|before|after)": / { gsub(/[",:]/, ""); record[$1] = $2 }
    files && /^    }/ { print record["after"], record["before"], record["format"], path }' | sort -u | sort -k 4
}

# naming PATH: the ledgers that know the file, the current one first.
naming() {
  for ledger in "$state/$daemon/ledger.json" "$state/$daemon"/ledger.before*.json; do
    ! grep -qsFx "    \"$1\": {" "$ledger" || echo "$ledger"
  done
}

# book take|tell PATH FILE LEDGER: what it knows of the lines of a file.
# take: the file with ours taken out; status 1 where they are not there just as they were written.
# tell: which they are ("-" ours, "+" what was there instead), for somebody who does it by hand.
book() {
  aim=$1 wanted=$2 awk '
    function plain(json, text, at, c) {
      text = ""
      for (at = 1; at <= length(json); at++) {
        c = substr(json, at, 1)
        if (c == "\\") {
          c = substr(json, ++at, 1)
          if (c == "t") c = "\t"
          else if (c == "r") c = "\r"
          else if (c != "\\" && c != "\"") odd = 1
        } else if (c !~ /[ -~]/) odd = 1
        text = text c
      }
      return text
    }
    function is_ours(from, place, n, run) {
      run = ""
      for (n = 0; n < lines[place] && from + n <= count; n++) run = run text[from + n]
      return run == ours[place]
    }
    function tell(place, n, i, all, words) {
      printf "%s%s", marked("-", ours[place]), marked("+", theirs[place])
      n = split(ours[place], all, /[ \t\r\n,]+/)
      words = ""
      for (i = 1; i <= n; i++)
        if (all[i] != "" && index(" " spaced(theirs[place]) " ", " " all[i] " ") == 0) words = words " " all[i]
      print "      (words of ours:" words ")"
    }
    function spaced(words) { gsub(/[ \t\r\n,]+/, " ", words); return words }
    function marked(mark, block) {
      if (block == "") return ""
      sub(/\n$/, "", block)
      gsub(/\n/, "\n      " mark, block)
      return "      " mark block "\n"
    }
    NR == FNR {
      if (/^  "[a-z]/) files = /^  "files"/
      if (/^    "/) inside = files && $0 == "    \"" ENVIRON["wanted"] "\": {"
      if (/^      \]/) list = 0
      if (list) {
        line = $0
        sub(/^        "/, "", line)
        sub(/",?$/, "", line)
        line = plain(line)
        mark = substr(line, 1, 1)
        line = substr(line, 2) "\n"
        if (mark == "-") { ours[places] = ours[places] line; lines[places]++ }
        else if (mark == "+") theirs[places] = theirs[places] line
        else if (mark == "@") places++
        else odd = 1
      }
      if (keys && /^        "/) print "      the line that begins with " $1
      keys = inside && format == "secret-table" && (keys && !/^      \]/ || /^      "applied": \[$/)
      if (inside && /^      "format": /) { format = $2; gsub(/[",]/, "", format) }
      if (inside && /^      "lines": \[$/) { list = 1; places++ }
      next
    }
    { text[++count] = $0 "\n" }
    END {
      if (ENVIRON["aim"] == "tell") {
        for (place = 1; place <= places; place++) tell(place)
        exit
      }
      if (odd || !places) exit 1
      # As often as we wrote it, and in that order: then each is ours.
      for (place = 1; place <= places; place++) {
        if (!lines[place]) exit 1
        found = same = 0
        for (at = 1; at <= count; at++) found += is_ours(at, place)
        for (other = 1; other <= places; other++) same += ours[other] == ours[place]
        if (found != same) exit 1
      }
      place = 1
      for (at = 1; at <= count;) {
        if (place <= places && is_ours(at, place)) { printf "%s", theirs[place]; at += lines[place++] }
        else printf "%s", text[at++]
      }
      exit (place <= places)
    }' "$4" "$3"
}

# is_text FILE: whole lines and no NUL, so that awk gives back every byte of it.
is_text() { [ -z "$(tail -c 1 -- "$1")" ] && [ "$(tr -d '\000' <"$1" | wc -c)" = "$(wc -c <"$1")" ]; }

# decide: what becomes of $path of $daemon, in $fate.
#   back (as $copy has it), away, lines (only ours go), stays (edited; we cannot tell), clean (nothing of ours is in it)
decide() {
  fate=stays real=$path
  # JSON has written such a path in another way than the file system has it.
  case $path in *[!\ -~]* | *\\*) return ;; esac
  [ -f "$path" ] || { fate=clean; return; }
  real=$(realpath "$path") # it is absolute; busybox knows no --
  digest "$real"
  now=$digest
  [ "$now" != "$before" ] || { fate=clean; return; }
  if [ "$now" = "$after" ]; then
    [ "$before" != null ] || { fate=away; return; }
    for copy in "$state/$daemon/before"/*; do
      digest "$copy"
      [ "$digest" != "$before" ] || { fate=back; return; }
    done
  fi
  # A change that was cut off and met an edit has left two ledgers; where the file fits the other one, that one counts.
  ! printf '%s' "$records" | grep -v "^$after " | grep -q "^$now .* $path\$" || { fate=clean; return; }
  known=$(naming "$path")
  case $known in '' | *"$newline"*) return ;; esac
  [ "$format" != secret-table ] && is_text "$real" && book take "$path" "$real" "$known" >/dev/null && fate=lines
  # Of a file that was not there before us, nothing may be left.
  [ "$fate.$before" != lines.null ] || book take "$path" "$real" "$known" | grep -q '[^[:space:]]' || fate=away
}

# difference FILE: from what is there to FILE; no context, in which somebody's secret could stand.
difference() {
  [ "$format" != secret-table ] || return 0
  diff -U 0 -- "$real" "$1" | sed -e '1,2d' -e 's/{[A-Za-z0-9.-]*}[^[:space:]]*/{...}/' -e 's/^/      /'
}

# show: what becomes of $path, in words.
show() {
  decide
  case $fate in
  back) echo "  $path: what was there before comes back"; difference "$copy" ;;
  away)
    leaving="$leaving$path$newline"
    echo "  $path: goes; it was not there before"
    difference /dev/null
    ;;
  lines) echo "  $path: edited since; the edit stays, only this changes:"; book take "$path" "$real" "$known" | difference - ;;
  clean) echo "  $path: nothing of ours is in it any more" ;;
  stays)
    stuck="$stuck$real$newline"
    echo "  $path: EDITED SINCE, so that what is ours cannot be told for sure. To be done by hand"
    echo '      (take out what is marked "-" as far as it is there still, put in what is marked "+"):'
    for ledger in $(naming "$path"); do book tell "$path" /dev/null "$ledger"; done
    ;;
  esac
}

# each_touched FUNCTION: for every file of $daemon.
each_touched() {
  records=$(touched "$daemon")$newline
  while read -r after before format path; do
    [ -z "$path" ] || "$1"
  done <<END
$records
END
}

# readable LEDGER: whether it is whole, and has its lines as ledgerText lays them out.
readable() {
  awk '
    /^ ? ?[^ ]/ { outline = outline $0 }
    $0 == "  \"files\": {" { files = 1 }
    files && /^    "\// { paths++ }
    files && /^      "(format|before|after)": / { words++ }
    END {
      gsub(/ /, "", outline)
      exit !(outline == "{\"version\":1,\"contributions\":{},\"files\":{}}" && words == 3 * paths && (!files || paths))
    }' "$1"
}

# wrong: why the ledger of $daemon does not tell what is ours; nothing where it does, or where there is nothing to tell.
wrong() {
  for ledger in "$state/$daemon"/ledger*.json; do
    [ ! -e "$ledger" ] || readable "$ledger" || { echo "$ledger cannot be read"; return; }
  done
  ledger=$state/$daemon/ledger.json
  if [ -n "$(originals)" ] && [ -z "$(touched "$daemon" 2>/dev/null)" ]; then
    if [ -e "$ledger" ]; then echo "$ledger names no file, but there are files of before"; else echo "$ledger is missing"; fi
  fi
}
originals() { ls "$state/$daemon/before" 2>/dev/null; }

# still_named: whether an edited file, which stays, names one that would go.
still_named() {
  named=no
  IFS=$newline
  for gone in $leaving; do
    for edited in $stuck; do
      ! grep -qsF -- "${gone##*/}" "$edited" || { named=yes && echo "  $edited still names $gone, which would go"; }
    done
  done
  unset IFS
  [ "$named" = yes ]
}

# unaided WHY: what to do about $daemon without its ledger. Names of files only: there may be secrets in them.
unaided() {
  echo "$daemon: the ledger $1."
  echo "Nothing of $daemon is touched. Restore that file from a backup and run this again, or do it by hand:"
  echo '  What was there before, and what is there now; the difference is ours, or an edit since:'
  originals | while read -r name; do
    echo "    diff '$state/$daemon/before/$name' '$(echo "$name" | sed 's|%2F|/|g')'"
  done
  echo "  Files of /etc/$daemon that are ours, or name one of ours:"
  { find "/etc/$daemon/" -name '*pulumi-dovecot-postfix*'; grep -rl pulumi-dovecot-postfix "/etc/$daemon/"; } 2>/dev/null |
    sort -u | sed 's/^/    /'
  echo "  When nothing of ours is left: reload $daemon, and move $state/$daemon away."
}

# looked: what is ours; which daemons' shares can go ($going), which cannot ($staying), and of which we cannot tell ($untold).
looked() {
  going='' staying='' untold=''
  for daemon in dovecot postfix; do
    why=$(wrong)
    if [ -n "$why" ]; then
      unaided "$why"
      echo
      untold="$untold $daemon"
      continue
    fi
    [ -n "$(ls "$state/$daemon"/ledger*.json 2>/dev/null)" ] || continue
    echo "$daemon. These resources (organization/project/stack/kind/name) lose what they have in it:"
    owners "$daemon"
    echo 'Files:'
    stuck='' leaving=''
    each_touched show
    if [ -n "$stuck" ] && { [ "$by_hand" = no ] || still_named; }; then staying="$staying $daemon"; else going="$going $daemon"; fi
    echo
  done
}

# octal: stdin as an argument for printf %b.
octal() { od -An -v -to1 | tr -d '\n' | sed 's/ *$//; s/  */\\0/g'; }

# take_out: one transaction a daemon of $going, as `pulumi destroy` would send it.
take_out() {
  set --
  for daemon in $going; do
    set -- "$@" transaction "$daemon" "$state/$daemon"
    for kept in "$state/$daemon"/ledger*.json "$state/$daemon/before"/*; do
      digest "$kept"
      [ "$digest" = absent ] || set -- "$@" gone "$kept" "$digest"
    done
    records=$(touched "$daemon")$newline reload=''
    # First what refers to others, then what it referred to.
    for turn in back away; do
      while read -r after before format path; do
        [ -n "$path" ] || continue
        decide
        case $turn.$fate in
        back.back)
          set -- "$@" file "$real" "$now" "$before" 600 0:0 "$(octal <"$copy")"
          reload=reload
          ;;
        back.lines)
          sha256 book take "$path" "$real" "$known"
          set -- "$@" file "$real" "$now" "$digest" 600 0:0 "$(book take "$path" "$real" "$known" | octal)"
          reload=reload
          ;;
        away.away)
          set -- "$@" gone "$real" "$now"
          reload=reload
          ;;
        # Edited since it was looked at: the commit finds it changed.
        back.stays) [ "$by_hand" = yes ] || set -- "$@" gone "$real" edited ;;
        esac
      done <<END
$records
END
    done
    # shellcheck disable=SC2046 # words of our own making
    [ -z "$reload" ] || ! command -v "$daemon" >/dev/null || set -- "$@" $(probes_of "$daemon") reload
  done
  transactions "$@"
}

# probes_of DAEMON: what to ask before and after (commit.sh's records), of what a client on the host can reach.
probes_of() {
  within 10
  case $1 in
  dovecot)
    host=$(run doveconf -h listen 2>/dev/null)
    case $host in '' | *'*'*) host=127.0.0.1 ;; *) host=${host%%[, ]*} ;; esac
    printf "probe %s %s $host %s %s\n" auth auth 0 plain imap imap 143 plain imaps imap 993 implicit-tls \
      pop3s pop3 995 implicit-tls managesieve sieve 4190 plain
    ;;
  postfix)
    interfaces=$(run postconf -xh inet_interfaces 2>/dev/null | tr ',' ' ')
    case " $interfaces " in *' all '* | *' loopback-only '* | *' localhost '*) interfaces=127.0.0.1 ;; esac
    run postconf -M 2>/dev/null | awk '$2 == "inet" && $8 ~ /^(smtpd|postscreen)$/ { print $1, $8 }' | while read -r name program; do
      host=${name%"${name##*:}"} port=${name##*:} mode=plain
      host=${host%:}
      case $host in '') host=${interfaces%% *} ;; 0.0.0.0) host=127.0.0.1 ;; '[::]') host=::1 ;; esac
      host=${host#\[}
      case $port in smtp) port=25 ;; smtps | submissions | urd | ssmtp) port=465 ;; submission) port=587 ;; *[!0-9]*) continue ;; esac
      [ "$(run postconf -Ph "$name/inet/smtpd_tls_wrappermode" 2>/dev/null)" != yes ] || mode=implicit-tls
      [ "$program" = smtpd ] || mode=postscreen
      echo "probe $name/inet smtp ${host%\]} $port $mode"
    done
    ;;
  esac
}

# refused: whether a daemon's own check refuses what is there now, whoever wrote it: then a reload has not had its effect.
refused() {
  within 12
  bad=''
  if command -v doveconf >/dev/null && ! run doveconf -n >/dev/null; then bad='dovecot (doveconf -n)'; fi
  if command -v postfix >/dev/null && ! run postfix check; then bad="$bad postfix (postfix check)"; fi
  [ -n "$bad" ] &&
    echo "Its own check refuses the configuration of: $bad. It may go on with what it has read before: correct that, then reload it."
}

undo() {
  state=$1 yes=no by_hand=no
  shift
  for word in "$@"; do
    case $word in
    --yes) yes=yes ;;
    --by-hand) by_hand=yes ;;
    --help) usage; return ;;
    *) usage; return 64 ;;
    esac
  done
  [ "$(id -u)" = 0 ] || { echo 'Only root can do this.' >&2; return 77; }
  if [ "$yes" = yes ]; then
    clock
    main "undo-$$-$now" >/dev/null
    recover dovecot "$state/dovecot"
    recover postfix "$state/postfix"
  else
    flock -n -s /var/lib true || echo 'Another operation is under way: what follows may change at any moment.'
    [ ! -d "$state/dovecot/journal" ] && [ ! -d "$state/postfix/journal" ] ||
      echo 'An operation was cut off: what follows is in the middle of it. With --yes its files of before are put back first.'
  fi
  looked
  if [ -z "$going$staying$untold" ]; then
    echo 'Nothing of pulumi-dovecot-postfix is on this host.'
    [ "$yes" = no ] || finish "$state"
    return 0
  fi
  [ -z "$staying" ] ||
    echo "Nothing of$staying is taken out before its edited files are in order: edit them, then: $0 --yes --by-hand"
  if [ "$yes" = no ]; then
    [ -z "$going$staying" ] || echo "Nothing was changed. To take out what is shown above: $0 --yes"
    [ -z "$untold" ]
    return
  fi
  [ -z "$going" ] || take_out
  finish "$state"
  staying=$staying$untold
  for daemon in $going; do
    [ -z "$(ls -d "$state/$daemon"/ledger*.json "$state/$daemon/journal" 2>/dev/null)" ] || staying="$staying $daemon"
  done
  if [ -n "$staying" ]; then
    echo "Still there:$staying."
    return 1
  fi
  ! refused || return 1
  echo 'Everything of pulumi-dovecot-postfix is taken out. For a stack that still counts on it: pulumi refresh shows that it is'
  echo 'gone, pulumi destroy finds nothing left to do here, pulumi up --refresh puts it in again.'
}
