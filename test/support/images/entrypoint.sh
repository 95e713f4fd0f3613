#!/bin/sh
# Process 1 of a mail host: sets it up at the first start, starts the daemons, reaps what they leave.
# MAILHOST_USERS: passwd-file or pam. MAILHOST_AUTHORIZED_KEY: who may log in as root.
set -eu

if [ ! -e /opt/mailhost/started ]; then
  install -d -m 700 /root/.ssh
  printf '%s\n' "$MAILHOST_AUTHORIZED_KEY" >/root/.ssh/authorized_keys
  ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
  DOVECOT=$(dovecot --version | cut -d . -f 1,2) sh "/opt/mailhost/users-$MAILHOST_USERS.sh"
  # Postfix waits until main.cf is 2 s old before it starts.
  touch -d '1 hour ago' /etc/postfix/main.cf
  touch /opt/mailhost/started
fi

trap 'exit 0' TERM INT

install -d -m 755 /run/sshd
rsyslogd
/usr/sbin/sshd
dovecot &
dovecot=$!
# Postfix's own mark for "the queue was left in order": skips its integrity check.
touch /var/spool/postfix/quick-start
cp -p /etc/resolv.conf /etc/hosts /var/spool/postfix/etc/
postfix start
wait "$dovecot"
touch /run/mailhost-ready

# Only a shell that waits takes the signal at once, and collects every orphan meanwhile.
while :; do
  sleep 2147483647 &
  wait $!
done
