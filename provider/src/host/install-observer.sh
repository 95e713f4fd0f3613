# Run as root on the mail host, this installs the program below, what sudo lets the user do, and the key, in this order; or put
# the three there by hand. It can be run again, for a newer release or another key. To take it away, remove the program,
# /etc/sudoers.d/pulumi-dovecot-postfix-observe and the line in authorized_keys.
# shellcheck shell=sh disable=SC2154 # user, program, sudoers, authorized_key and sha256 are set above
set -eu
umask 022

fail() {
  echo "$1 Nothing was installed after that." >&2
  exit 1
}

install_program() {
  cat >"$program.new"
  echo "$sha256  $program.new" | sha256sum -c >/dev/null || fail "The program did not come whole."
  chmod 755 "$program.new"
  mv "$program.new" "$program"
}

# A file with a dot in its name is not read by sudo.
allow_sudo() {
  file=/etc/sudoers.d/${program##*/}
  (umask 337 && printf '%s\n' "$sudoers" >"$file.new")
  visudo -cqf "$file.new" || fail "sudo does not understand the line."
  mv "$file.new" "$file"
}

add_user() {
  id -u "$user" >/dev/null 2>&1 ||
    useradd --system --create-home --password '*' --shell /bin/sh --comment 'pulumi-dovecot-postfix observer' "$user" ||
    fail "There is no user $user, and useradd made none."
}

# Files that are new belong to root: the user could not give its key more.
add_key() {
  home=$(getent passwd "$user" | cut -d : -f 6)
  file=$home/.ssh/authorized_keys
  # shellcheck disable=SC2086 # words
  set -- ${authorized_key##*\" }
  [ -d "$home/.ssh" ] || mkdir -m 755 "$home/.ssh"
  [ -e "$file" ] || : >"$file"
  [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
  # The first line of a key counts.
  ! grep -vxF -- "$authorized_key" "$file" | grep -qF -- "$2" || fail "$file has this key already, with other rights: remove that line."
  grep -qxF -- "$authorized_key" "$file" || printf '%s\n' "$authorized_key" >>"$file"
}

install_observer() {
  install_program
  add_user
  [ -z "$sudoers" ] || allow_sudo
  add_key
  echo "Installed: this key may look, and nothing else."
}
