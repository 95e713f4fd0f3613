import { execFileSync, spawnSync, spawn } from "node:child_process";
import { writeFileSync, mkdirSync } from "node:fs";
import net from "node:net";
import { readTree } from "/work/main/provider/src/dovecot/tree.js";
import { effective } from "/work/main/provider/src/dovecot/filters.js";
import { outranked, allTrusted, trusted } from "/work/main/provider/src/dovecot/trust.js";
const [v, mode, seedText] = process.argv.slice(2) as [string,string,string];
let seed = Number(seedText ?? 1);
const rnd = (n: number) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % n; };
const pick = <T,>(a: T[]) => a[rnd(a.length)]!;
const d = v === "12" ? "2.3" : "2.4";
const root = `/tmp/dovecot-dc${v}`;
const port = v === "12" ? 31012 : 31013;
const head = (d === "2.4" ? "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" : "") + `protocols = pop3
ssl = no
log_path = /var/log/dovecot.log
base_dir = /run/dovlab
service pop3-login {
 inet_listener pop3 {
  port = ${port}
 }
 inet_listener pop3s {
  port = 0
 }
}
passdb ${d === "2.4" ? "x " : ""}{
 driver = static
 ${d === "2.4" ? "static_password = x" : "args = password=x"}
}
userdb ${d === "2.4" ? "x " : ""}{
 driver = passwd
}
`;
function block(n: number, allowTop: boolean): string {
  const ip = `127.${n}.0.10`;
  const remote = () => `remote ${pick([ip, `${ip}/32`, `127.${n}.0.0/16`, `127.${n}.0.0/24`, `127.${n}.0.7/16`, `127.${n}.0.0/28`, `127.${n}.9.9`])}`;
  const local = () => `local ${pick([`127.${n}.0.1`, `127.${n}.0.0/16`])}`;
  const proto = () => `protocol ${pick(["pop3", "imap", "!imap"])}`;
  const path = pick([[remote], [remote], [remote], [local], [remote, proto], [local, proto], [local, remote], ...(allowTop ? [[proto], []] : []), ...(d === "2.4" ? [[local, remote, proto]] : [])]).map((f) => f());
  const value = () => pick(["192.0.2.1", ip, `192.0.2.1 ${ip}`, `192.0.2.1,${ip}/31`, d==="2.4" ? "" : `$login_trusted_networks ${ip}`]);
  const noNo = { no: false }; const stmts = [() => `login_trusted_networks = ${value()}`, () => `login_greeting = g${rnd(9)}`, () => `#nothing`,
    ...(d === "2.4" ? [() => `login_trusted_networks {\n ${pick([ip, `${ip}/32`, "192.0.2.1"])} = ${noNo.no ? "yes" : pick(["yes", "no"])}\n}`] : [])];
  const ix = pick([[0], [0], [0], [1], [2], [3], [0, 3], [3, 0], [0, 1]]); if (ix.length > 1) noNo.no = true; const body = ix.map((i) => (stmts[i] ?? stmts[0]!)());
  return path.map((p) => p + " {\n").join("") + body.join("\n") + "\n" + path.map(() => "}\n").join("");
}
const sh = (args: string[]) => spawnSync("chroot", [root, ...args], { encoding: "utf8" });
mkdirSync(`${root}/etc/dovlab`, { recursive: true });
const ours = (n: number) => `remote 127.${n}.0.10/32 {\n  login_trusted_networks = 127.${n}.0.10/32\n}\n`;
let bad = 0, total = 0;
if (mode === "conf") {
  for (let i = 0; i < 150; i++) {
    const n = 101;
    const parts = Array.from({ length: 1 + rnd(4) }, () => block(n, true));
    if (rnd(3)) parts.splice(rnd(parts.length + 1), 0, ours(n));
    const text = head + parts.join("");
    if (d === "2.4" && /networks \{/.test(text)) continue;
    if (d === "2.4" && /(remote|local)[^\n]*\{\n(remote|protocol)/.test(text)) continue;
    writeFileSync(`${root}/etc/dovlab/r.conf`, text);
    const at = { protocol: pick(["pop3", "imap"]), remote: `127.${n}.0.10`, ...(rnd(2) ? { local: `127.${n}.0.1` } : {}) };
    const r = sh(["doveconf", "-c", "/etc/dovlab/r.conf", "-h", ...Object.entries(at).flatMap(([k, x]) => ["-f", `${k}=${x}`]), "login_trusted_networks"]);
    const e = effective(readTree("/r", new Map([["/r", text]]), d), d, "login_trusted_networks", at);
    total++;
    const real = r.status === 0 ? trusted(r.stdout.trim(), `127.${n}.0.10`) : "conflict";
    const mine = e.conflict ? "conflict" : trusted(e.value ?? "", `127.${n}.0.10`);
    const same = d === "2.3" && r.status === 0 && !e.conflict ? r.stdout.trim() === (e.value ?? "").trim() : real === mine;
    if (!same) { bad++; if (bad < 4) console.log("DIFF", JSON.stringify(at), "real:", r.status, r.stdout.trim(), r.stderr.slice(-200), "mine:", e.value, e.conflict?.map((c) => c.line), "\n" + parts.join("")); }
  }
  console.log(v, mode, total, "bad", bad);
} else {
  const cases: { n: number; before: string; after: string }[] = [];
  for (let n = 2; n < 250; n++) {
    const before = Array.from({ length: rnd(3) }, () => block(n, false)).join("");
    const after = Array.from({ length: rnd(3) }, () => block(n, false)).join("");
    const withOurs = before + ours(n) + after;
    if (d === "2.3") { writeFileSync(`${root}/etc/dovlab/c.conf`, head + withOurs); if (sh(["doveconf", "-n", "-c", "/etc/dovlab/c.conf"]).status !== 0) {
        // whole configuration refused: we must have said so
        const files = new Map([["/r", before + "!include /o\n" + after], ["/o", ours(n)]]);
        const o = outranked(readTree("/r", files, d), d, [`127.${n}.0.10/32`], "/o", [`127.${n}.0.1`]);
        const baseFails = (writeFileSync(`${root}/etc/dovlab/c.conf`, head + before + after), sh(["doveconf", "-n", "-c", "/etc/dovlab/c.conf"]).status !== 0);
        total++;
        if (!baseFails && !o.some((x) => x.kind === "conflict")) { bad++; console.log("LOADCONFLICT not foreseen\n" + before + "OURS\n" + after, o); }
        continue; } }
    cases.push({ n, before, after });
  }
  const text = head + cases.map((c) => c.before).join("") + cases.map((c) => ours(c.n)).join("") + cases.map((c) => c.after).join("");
  writeFileSync(`${root}/etc/dovlab/d.conf`, text);
  writeFileSync(`${root}/var/log/dovecot.log`, "");
  const p = spawn("chroot", [root, "/usr/sbin/dovecot", "-F", "-c", "/etc/dovlab/d.conf"], { stdio: "inherit" });
  await new Promise((r) => setTimeout(r, 2500));
  for (const c of cases) {
    const greeting = await new Promise<string>((done) => {
      const s = net.connect({ host: `127.${c.n}.0.1`, port, localAddress: `127.${c.n}.0.10` });
      s.setTimeout(9000, () => { done("TIMEOUT"); s.destroy(); });
      s.once("data", (b) => { done(b.toString()); s.destroy(); }); s.once("error", (e) => done(String(e))); s.once("close", () => done(""));
    });
    const files = new Map([["/r", c.before + "!include /o\n" + c.after], ["/o", ours(c.n)]]);
    const tree = readTree("/r", files, d);
    const e = effective(tree, d, "login_trusted_networks", { protocol: "pop3", remote: `127.${c.n}.0.10`, local: `127.${c.n}.0.1` });
    const mine = e.conflict ? "closed" : trusted(e.value ?? "", `127.${c.n}.0.10`) ? "trust" : "no";
    const real = greeting === "" ? "closed" : greeting.includes("XCLIENT") ? "trust" : greeting.startsWith("+OK") ? "no" : greeting;
    total++;
    if (mine !== real) { bad++; if (bad < 3) console.log("DIFF real", real, "mine", mine, e.value, e.conflict?.map((x) => x.name), "\n" + c.before + "OURS\n" + c.after); }
    const o = outranked(tree, d, [`127.${c.n}.0.10/32`], "/o", [`127.${c.n}.0.1`]);
    if (real === "trust" && mine === real && o.some((x) => x.block.includes("pop3") ) ) {}
    const base = effective(readTree("/r", new Map([["/r", c.before + c.after]]), d), d, "login_trusted_networks", { protocol: "pop3", remote: `127.${c.n}.0.10`, local: `127.${c.n}.0.1` });
    if (real !== "trust" && o.length === 0 && !base.conflict) { console.log("outranked empty but real", real, "\n" + c.before + "OURS\n" + c.after); }
  }
  p.kill("SIGTERM");
  console.log(v, mode, total, "bad", bad);
}
