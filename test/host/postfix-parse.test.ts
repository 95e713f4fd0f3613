// Our reading of main.cf and master.cf against Postfix's own, on generated files.
import { strict as assert } from "node:assert";
import fc from "fast-check";
import { applyParameters, parameter } from "../../provider/src/postfix/parameters.js";
import { collapse } from "../../provider/src/postfix/lists.js";
import { services } from "../../provider/src/postfix/services.js";
import { parameters, validMainCf, validMasterCf } from "../property/postfix-texts.js";
import { type Debian, type Host, startHost } from "../support/host.js";

const samples = 40;
const names = [...parameters, "myhostname", "mydestination"];
const debians: Debian[] = ["bookworm", "trixie"];

for (const debian of debians) {
  describe(`Postfix of ${debian} reads generated files as we do`, () => {
    const seed = Date.now() & 0x7fffffff;
    let host: Host;
    before(async () => {
      host = await startHost(debian);
    });
    after(() => host.stop());

    it(`main.cf, before and after an edit (seed ${seed})`, async () => {
      const texts = fc.sample(validMainCf, { numRuns: samples, seed }).flatMap((text) => {
        const add = ["203.0.113.20/32", "check_client_access cidr:/etc/postfix/ours"];
        const edits = parameters.map((name) => ({ parameter: name, add, at: "last" as const, seed: "127.0.0.1/32" }));
        return [text, applyParameters(text, edits).text];
      });
      const answers = await ask(host, texts, "main.cf", `postconf -c . -n ${names.join(" ")} 2>/dev/null`);
      for (const [index, text] of texts.entries()) {
        const ours = names.flatMap((name) => {
          const found = parameter(text, name);
          return found === undefined ? [] : [`${name} = ${found.value}`.trim()];
        });
        const theirs = lines(answers[index]).map((line) => line.trim());
        assert.deepEqual(ours.sort(), theirs.sort(), JSON.stringify(text));
      }
    });

    it(`master.cf (seed ${seed})`, async () => {
      // postconf -P takes "-osyslog_name=x" for "-osysl -og_name=x"; the daemons do not.
      const arbitrary = validMasterCf.filter((text) => !/-o[a-z]/.test(text));
      const texts = fc.sample(arbitrary, { numRuns: samples, seed });
      const answers = await ask(
        host,
        texts,
        "master.cf",
        "{ postconf -c . -M; echo @; postconf -c . -P; } 2>/dev/null",
      );
      for (const [index, text] of texts.entries()) {
        const [list = "", overrides = ""] = answers[index]?.split("@\n") ?? [];
        const ours = services(text);
        assert.deepEqual(
          ours.map((one) =>
            [one.name, one.type, one.private, one.unpriv, one.chroot, one.wakeup, one.maxproc, one.command].join(" "),
          ),
          lines(list).map((line) =>
            line
              .split(/[ \t]+/)
              .slice(0, 8)
              .join(" "),
          ),
          JSON.stringify(text),
        );
        // Of two services of one name postconf shows the overrides mixed.
        const ids = ours.map((one) => `${one.name}/${one.type}`);
        const single = ours.filter((_, at) => ids.indexOf(ids[at] ?? "") === ids.lastIndexOf(ids[at] ?? ""));
        const effective = single.flatMap((one) => {
          const last = new Map(one.overrides.map(({ parameter: name, value }) => [name, collapse(value)]));
          return [...last].map(([name, value]) => `${one.name}/${one.type}/${name} = ${value}`.trim());
        });
        const known = single.map((one) => `${one.name}/${one.type}/`);
        const shown = lines(overrides).filter((line) => known.some((id) => line.startsWith(id)));
        assert.deepEqual(effective.sort(), shown.map((line) => line.trim()).sort(), JSON.stringify(text));
      }
    });
  });
}

/** Each text as `file` in a directory of its own, and what `script` prints there. */
async function ask(host: Host, texts: readonly string[], file: string, script: string): Promise<string[]> {
  const input = texts.map((text) => `${Buffer.from(text, "latin1").toString("base64")}\n`).join("");
  // Postfix waits until main.cf is two seconds old.
  const out = await host.run(
    `cd "$(mktemp -d)" && while read -r text; do
       : >main.cf; : >master.cf; echo "$text" | base64 -d >${file}
       touch -d '1 hour ago' main.cf
       ${script}
       echo @@
     done`,
    { input },
  );
  return out.split("@@\n").slice(0, texts.length);
}

function lines(text: string | undefined): string[] {
  return (text ?? "").split("\n").filter((line) => line !== "");
}
