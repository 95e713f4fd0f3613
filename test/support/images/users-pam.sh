#!/bin/sh
# At the first start: system users with Debian's stock passdb pam and userdb passwd; Postfix delivers through dovecot-lda.
set -eu

useradd -m -s /bin/bash -p "$(cat /opt/mailhost/hashes/alice)" alice
useradd -m -s /bin/bash -p "$(cat /opt/mailhost/hashes/bob)" bob

cp "/opt/mailhost/dovecot/$DOVECOT/pam.conf" /etc/dovecot/local.conf

# shellcheck disable=SC2016 # local(8) expands them
postconf -e 'mailbox_command = /usr/lib/dovecot/dovecot-lda -f "$SENDER" -a "$RECIPIENT"'

sh /opt/mailhost/mailbox.sh /home/alice alice
