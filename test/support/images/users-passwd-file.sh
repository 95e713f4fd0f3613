#!/bin/sh
# At the first start: virtual users of example.com in a passwd-file; Postfix delivers over LMTP.
set -eu

for name in alice bob carol; do
  printf '%s@example.com:%s\n' "$name" "$(cat "/opt/mailhost/hashes/$name")" >>/etc/dovecot/users
  printf '%s@example.com %s\n' "$name" "$name" >>/etc/postfix/vmailbox
done
chgrp dovecot /etc/dovecot/users
chmod 640 /etc/dovecot/users

groupadd -g 5000 vmail
useradd -g vmail -u 5000 -d /var/vmail -s /usr/sbin/nologin vmail
install -d -o vmail -g vmail -m 770 /var/vmail /var/vmail/example.com

cp "/opt/mailhost/dovecot/$DOVECOT/passwd-file.conf" /etc/dovecot/local.conf
cp "/opt/mailhost/dovecot/$DOVECOT/auth-passwdfile.conf.ext" /etc/dovecot/conf.d/
sed -i 's/^!include auth-system/#&/; s/^#\(!include auth-passwdfile\)/\1/' /etc/dovecot/conf.d/10-auth.conf

database=$(postconf -h default_database_type)
postmap "$database:/etc/postfix/vmailbox"
# shellcheck disable=SC2016 # Postfix expands it
postconf -e \
  'mydestination = $myhostname, localhost.localdomain, localhost' \
  'virtual_mailbox_domains = example.com' \
  "virtual_mailbox_maps = $database:/etc/postfix/vmailbox" \
  'virtual_transport = lmtp:unix:private/dovecot-lmtp'

sh /opt/mailhost/mailbox.sh /var/vmail/example.com/alice vmail
