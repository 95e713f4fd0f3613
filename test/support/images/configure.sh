#!/bin/sh
# At image build: what both kinds of user database have in common, on top of the packages' own configuration.
set -eu

cat >/etc/ssh/sshd_config.d/mailhost.conf <<'EOF'
LogLevel VERBOSE
HostKey /etc/ssh/ssh_host_ed25519_key
EOF

# The kernel's log belongs to the machine, not to a container.
sed -i 's/^module(load="imklog")/#&/' /etc/rsyslog.conf

# In place of Debian's own, which has the name of the machine that built the image.
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=mail.example.com \
  -addext subjectAltName=DNS:mail.example.com \
  -keyout /etc/ssl/private/ssl-cert-snakeoil.key -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2>/dev/null

postconf -e 'myhostname = mail.example.com' 'smtpd_sasl_type = dovecot' 'smtpd_sasl_path = private/auth'

# Uncomments Debian's submission and submissions services.
awk '
  /^#(submission|submissions) +inet/ { service = 1; print substr($0, 2); next }
  service && /^#  -o / { print substr($0, 2); next }
  /^#?[a-z0-9]/ { service = 0 }
  { print }
' /etc/postfix/master.cf >/tmp/master.cf
cat /tmp/master.cf >/etc/postfix/master.cf
rm /tmp/master.cf

newaliases
# Creates the queue's directories and fills the chroot, as the package's own start does.
postfix check
case $(postconf -h mail_version) in
3.[0-8].*) sh /usr/lib/postfix/configure-instance.sh - ;;
esac
