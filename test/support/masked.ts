// What a plan and a key that may only look must hide of configuration files, and what they must not.
import type { Daemon } from "../../provider/src/host/snapshot.js";

export interface Masked {
  readonly daemon: Daemon;
  readonly text: string;
  readonly shown: string;
}

/** The same text, of either daemon. */
const both = (text: string, shown: string): Masked[] => [
  { daemon: "postfix", text, shown },
  { daemon: "dovecot", text, shown },
];
const postfix = (text: string, shown: string): Masked[] => [{ daemon: "postfix", text, shown }];
const dovecot = (text: string, shown: string): Masked[] => [{ daemon: "dovecot", text, shown }];
const open = (text: string): Masked[] => both(text, text);

export const masked: readonly Masked[] = [
  // By name.
  ...both("imapc_password = canary", "imapc_password = {...}"),
  ...both("#doveadm_password: canary", "#doveadm_password: {...}"),
  ...both("ldapsrc_bind_pw = canary", "ldapsrc_bind_pw = {...}"),
  ...both("x_pw=canary and more", "x_pw={...}"),
  ...both("mysql_pwd = canary", "mysql_pwd = {...}"),
  ...both("connect = host=db password=canary user=x", "connect = host=db password={...}"),
  ...both("Proxy_MySQL_Password = canary", "Proxy_MySQL_Password = {...}"),
  ...postfix("password = %canary", "password = {...}"),
  ...postfix("x_key_file = inline:canary", "x_key_file = {...}"),
  ...open("x = y\n\n# password_maps and such\npassword_maps = z"),
  ...open(
    "smtpd_tls_key_file = /etc/ssl/key.pem\nssl_key = </etc/ssl/key.pem\nproxy_password = $other\nnopassword = yes",
  ),
  ...open("auth_mechanisms = plain login\nssl_key_password =\nhttp://host:80/path"),
  // In master.cf's arguments.
  ...postfix(
    "x unix - n n - - pipe\n  flags=R user=x argv=/usr/bin/x --password canary\n  -f ${sender}\ny unix - n n - - pipe",
    "x unix - n n - - pipe\n  flags=R user=x argv=/usr/bin/x --password {...}\n  {...}\ny unix - n n - - pipe",
  ),
  ...postfix("x unix - - - - - pipe argv=/x -pass canary", "x unix - - - - - pipe argv=/x -pass {...}"),
  ...postfix("x unix - - - - - pipe argv=/x --api-key=canary", "x unix - - - - - pipe argv=/x --api-key={...}"),
  ...postfix(
    "x inet n - - - - smtpd\n  -o smtpd_tls_key_file=/k\n  -o { smtp_sasl_password_maps = inline:{ a=b:canary } }",
    "x inet n - - - - smtpd\n  -o smtpd_tls_key_file=/k\n  -o { smtp_sasl_password_maps = {...}",
  ),
  // In an address.
  ...both("x = http://user:canary@host/", "x = http://{...}"),
  ...both("x = http://user:pa/canary@host y", "x = http://{...}"),
  ...both("x = mysql://u:canary@h password=canary", "x = mysql://{...}"),
  // In a list of tables.
  ...postfix("smtp_sasl_password_maps = static:u:canary", "smtp_sasl_password_maps = {...}"),
  ...postfix("smtp_sasl_password_maps = hash:/etc/postfix/sasl", "smtp_sasl_password_maps = hash:/etc/postfix/sasl"),
  ...postfix(
    "smtp_sasl_password_maps = inline:{\n# between\n\n  { [relay] = u:canary }\n  }\nx = y",
    "smtp_sasl_password_maps = {...}\n# between\n\n  {...}\n  {...}\nx = y",
  ),
  ...postfix(
    "smtp_sasl_password_maps = hash:/x\n  inline:{ [relay] = u:canary }",
    "smtp_sasl_password_maps = {...}\n  {...}",
  ),
  ...dovecot("a = b \\\n  password=canary \\\n  canary2\nx = y", "a = b \\\n  password={...} \\\n  {...}\nx = y"),
  // Commented out.
  ...both(
    "x = y\n#smtp_sasl_password_maps = inline:{\n#  { [relay] = u:canary }\n#}\n#z = 1\n# prose",
    "x = y\n#smtp_sasl_password_maps = {...}\n#  {...}\n#{...}\n#z = 1\n# prose",
  ),
  ...both(
    "# smtp_sasl_password_maps = inline:{\n# [relay] = u:canary\n# }\n# z = 1",
    "# smtp_sasl_password_maps = {...}\n# {...}\n# {...}\n# z = 1",
  ),
  ...both("#smtp_sasl_password_maps =\n#   static:u:canary\n#x = y", "#smtp_sasl_password_maps =\n#   {...}\n#x = y"),
  ...both("  # bind_pw = canary\nx = y", "  # bind_pw = {...}\nx = y"),
  ...postfix("mynetworks = 1\n#x_pw = canary\n  2\n", "mynetworks = 1\n#x_pw = {...}\n  2\n"),
  // Dovecot: where users come from decides what an `up` does, so it has to be seen.
  ...dovecot(
    "passdb sql {\n  passdb_driver = sql\n  passdb_name = x\n  passdb_mechanisms_filter = plain\n  passwd_file_path = /x\n}",
    "passdb sql {\n  passdb_driver = sql\n  passdb_name = x\n  passdb_mechanisms_filter = plain\n  passwd_file_path = /x\n}",
  ),
  ...dovecot(
    "passdb_sql_query = SELECT 1 FROM u WHERE p = '%{password}' AND s = 'canary' AND n = '%{user}'",
    "passdb_sql_query = SELECT 1 FROM u WHERE p = '%{password}' AND s = {...} AND n = '%{user}'",
  ),
  ...dovecot(
    "password_query = \"SELECT password FROM u \\\n  WHERE user = '%u' AND pepper = 'canary'\"",
    "password_query = \"SELECT password FROM u \\\n  WHERE user = '%u' AND pepper = {...}\"",
  ),
  ...dovecot("passdb_static_password = canary", "passdb_static_password = {...}"),
  ...dovecot("fields {\n  password = %{ldap:userPassword}\n}", "fields {\n  password = %{ldap:userPassword}\n}"),
  ...dovecot("passdb_ldap_bind_password = canary", "passdb_ldap_bind_password = {...}"),
];
