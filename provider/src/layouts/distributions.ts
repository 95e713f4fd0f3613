// Mail distributions that write Dovecot's and Postfix's files themselves: how each is recognised, and what would undo an edit.
// Sources: each project's own installer and documentation, as read in 2026.

/** A sign on the host: a path (pattern), a text in a file, or a word in a running container's image or labels. */
export type Marker =
  { readonly path: string } | { readonly line: readonly [file: string, text: string] } | { readonly container: string };

export interface Distribution {
  readonly name: string;
  readonly markers: readonly Marker[];
  /** What would overwrite or ignore a change made as if the host were plain. */
  readonly overwrites: string;
}

export const distributions: readonly Distribution[] = [
  {
    name: "mailcow",
    markers: [{ path: "/opt/mailcow-dockerized/mailcow.conf" }, { container: "mailcow" }],
    overwrites:
      "its containers rebuild main.cf and dovecot.conf at every start; its own places are data/conf/*/extra.c*",
  },
  {
    name: "Mail-in-a-Box",
    markers: [{ path: "/etc/mailinabox.conf" }],
    overwrites: "setup/start.sh and every upgrade rewrite conf.d/99-local*.conf, master.cf and its keys of main.cf",
  },
  {
    name: "docker-mailserver",
    markers: [{ container: "docker-mailserver" }, { path: "/usr/local/bin/start-mailserver.sh" }],
    overwrites:
      "a new container starts from the image; its own places are postfix-main.cf and dovecot.cf of its config volume",
  },
  {
    name: "iRedMail",
    markers: [
      { path: "/etc/iredmail-release" },
      { path: "/opt/iredapd" },
      // Its Enterprise Edition.
      { path: "/opt/iredmail/custom" },
      { path: "/root/.iredmail/kv" },
    ],
    overwrites:
      "its upgrade tutorials replace dovecot.conf, and iRedAPD judges mail before Postfix's permit_mynetworks",
  },
  {
    name: "Modoboa",
    markers: [
      { path: "/srv/modoboa" },
      { line: ["/etc/postfix/main.cf", "# This file was automatically installed on"] },
    ],
    overwrites: "modoboa-installer --upgrade writes main.cf, master.cf and Dovecot's conf.d anew",
  },
  {
    name: "Mailu",
    markers: [{ container: "mailu/" }, { path: "/mailu/mailu.env" }],
    overwrites: "its containers render their configuration at every start; its own places are overrides/ and mailu.env",
  },
  {
    name: "ISPConfig",
    markers: [{ path: "/usr/local/ispconfig/server/lib/config.inc.php" }],
    overwrites: "ispconfig_update.sh writes the configuration from its templates in conf-custom/install",
  },
  {
    name: "Plesk",
    markers: [{ path: "/usr/local/psa/version" }],
    overwrites: "plesk repair and its updates regenerate Postfix's and Dovecot's files",
  },
  {
    name: "cPanel",
    markers: [{ path: "/usr/local/cpanel/version" }],
    overwrites: "it runs Exim, and builds Dovecot's configuration from its own templates",
  },
];
