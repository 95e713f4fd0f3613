import { startHost } from "./support/host.js";
import { create } from "./support/resources.js";
import { login } from "./support/mail-client.js";
for (const debian of ["bookworm","trixie"] as const) it(debian, async () => {
  const host = await startHost(debian, {users:"pam"});
  const r = await create(host, {kind: "MasterUser"}, {username:"vmadmin", password: "master password"});
  for (const u of ["nobody-here%vmadmin","root%vmadmin","alice%vmadmin"]) {
    try {
      await host.dialogue({host:"127.0.0.1",port:993,tls:"implicit"}, async d => {
        await d.expect(/OK/);
        await d.send("a AUTHENTICATE PLAIN " + Buffer.from(`\0${u}\0master password`).toString("base64"));
        const t = Date.now();
        try { console.log(u, JSON.stringify(await d.expect(/^a \S+.*/m))); } finally { console.log(Date.now()-t, "rest", JSON.stringify(await d.closed({seconds:1}).catch(()=>"open"))); }
      });
    } catch (e) { console.log(u, String(e)); }
  }
  console.log((await host.mailLog()).split("\n").filter(l=>/dovecot/.test(l)).slice(-15).join("\n"));
});
