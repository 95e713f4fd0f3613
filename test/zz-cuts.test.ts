import { startHost } from "/work/main/test/support/host.js";
import { Patient, operations } from "/work/main/test/support/cuts.js";
import { writeFileSync } from "node:fs";
const debian = (process.env["DEB"] ?? "bookworm") as "bookworm";
it("examine", async function () {
  this.timeout(300000);
  const host = await startHost(debian);
  const p = new Patient(host);
  try {
  const t0 = Date.now();
  const steps = await p.examine();
  console.log("examine", Date.now()-t0);
  for (const o of operations) { console.log(o, steps.get(o)?.length); writeFileSync(`/tmp/steps.${o}`, steps.get(o)!.join("\n")); }
  const only = process.env["CUTS"]?.split(" ") ?? [];
  for (const one of only) {
    const [operation, kind, step] = one.split(":") as [any, any, string];
    const t = Date.now();
    try { await p.cut({operation, kind, step: Number(step)}, {restart: false}); console.log("ok", one, Date.now()-t); }
    catch (e) { console.log("FAIL", one, Date.now()-t, String(e).slice(0,1500)); 
      console.log(await host.run("find /var/lib/pulumi-dovecot-postfix; ls /etc/dovecot /etc/postfix; tail -5 /var/log/mail.log"));
      break; }
  }
  } finally { await host.stop(); }
});
