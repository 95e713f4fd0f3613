#!/bin/sh
# Gives the user with this home directory one delivered message and one active Sieve script.
# $1: home directory, $2: user and group that own it
set -eu

install -d -m 700 "$1" "$1/Maildir" "$1/Maildir/cur" "$1/Maildir/new" "$1/Maildir/tmp" "$1/sieve"

cat >"$1/Maildir/new/1700000000.M1P1.mail" <<'EOF'
Return-Path: <bob@example.com>
Delivered-To: alice@example.com
From: Bob <bob@example.com>
To: Alice <alice@example.com>
Subject: Minutes of the meeting
Date: Tue, 14 Nov 2023 22:13:20 +0000
Message-ID: <minutes@example.com>

Here they are.
EOF

cat >"$1/sieve/lists.sieve" <<'EOF'
require ["fileinto", "mailbox"];
if header :contains "List-Id" "announce" {
  fileinto :create "Lists";
}
EOF
ln -s sieve/lists.sieve "$1/.dovecot.sieve"

chown -R "$2:$2" "$1"
