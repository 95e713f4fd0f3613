import { strict as assert } from "node:assert";
import fc from "fast-check";
import { elements } from "../../provider/src/postfix/lists.js";
import {
  type ParameterEdit,
  applyParameters,
  parameter,
  stripParameters,
} from "../../provider/src/postfix/parameters.js";
import {
  type ServiceEdit,
  ServiceNotFound,
  applyServices,
  services,
  stripServices,
} from "../../provider/src/postfix/services.js";
import { definition, file, mainCf, masterCf, otherLines, ours, parameters, serviceNames } from "./postfix-texts.js";

const numRuns = Number(process.env["FC_RUNS"] ?? "1000");

function holds<T extends [unknown, ...unknown[]]>(property: fc.IPropertyWithHooks<T>): void {
  fc.assert(property, { numRuns });
}

const at = fc.constantFrom("first" as const, "last" as const);
const some = fc.subarray(ours, { minLength: 1 });
const seed = fc.constantFrom("", "127.0.0.0/8 [::1]/128", "127.0.0.1/32", "203.0.113.20/32");

/** One seed a parameter: it is the host's value, not the contributor's. */
const seeds: Record<string, string> = {
  mynetworks: "127.0.0.0/8 [::1]/128",
  smtpd_helo_restrictions: "203.0.113.20/32",
};
const add = fc
  .record({ parameter: fc.constantFrom(...parameters), add: some, at })
  .map((edit) => ({ ...edit, seed: seeds[edit.parameter] ?? "" }));
const set = fc.record({
  parameter: fc.constantFrom(...parameters),
  set: fc.constantFrom("[192.0.2.1]:25", "", "a, b"),
});
const edits: fc.Arbitrary<ParameterEdit[]> = fc.array(fc.oneof(add, add, set), { maxLength: 4 });

const serviceEdits: fc.Arbitrary<ServiceEdit[]> = fc.array(
  fc
    .record({
      service: fc.constantFrom(...serviceNames),
      parameter: fc.constantFrom("smtpd_authorized_xclient_hosts", "smtpd_helo_restrictions"),
      add: some,
    })
    .map((edit) => ({ ...edit, seed: seeds[edit.parameter] ?? "" })),
  { maxLength: 3 },
);

/** The edits whose service is there. */
function possible(text: string, wanted: ServiceEdit[]): ServiceEdit[] {
  const there = new Set(services(text).map((one) => `${one.name}/${one.type}`));
  return wanted.filter((edit) => there.has(edit.service));
}

function isSubsequence(short: string, long: string): boolean {
  let index = 0;
  for (let step = 0; step < long.length && index < short.length; step += 1) if (long[step] === short[index]) index += 1;
  return index === short.length;
}

describe("main.cf, whatever it looks like", () => {
  it("strip undoes apply byte for byte", () => {
    holds(
      fc.property(mainCf, edits, (text, wanted) => {
        const done = applyParameters(text, wanted);
        const applied = JSON.parse(JSON.stringify(done.applied)) as typeof done.applied;
        assert.equal(stripParameters(done.text, applied), text);
      }),
    );
  });

  it("what is wanted is there, nothing else changes, and a second apply adds nothing", () => {
    holds(
      fc.property(mainCf, fc.array(add, { maxLength: 3 }), (text, wanted) => {
        const done = applyParameters(text, wanted);
        assert.ok(isSubsequence(text, done.text), "a byte was lost");
        for (const edit of wanted) {
          const found = parameter(done.text, edit.parameter);
          const list = found === undefined ? elements(edit.seed) : elements(found.value);
          for (const element of edit.add) assert.ok(` ${list.join(" ")} `.includes(` ${element} `), element);
        }
        for (const name of [...parameters, "myhostname", "mydestination"]) {
          if (wanted.some((edit) => edit.parameter === name)) continue;
          assert.equal(parameter(done.text, name)?.value, parameter(text, name)?.value);
        }
        assert.deepEqual(applyParameters(done.text, wanted), { text: done.text, applied: [] });
      }),
    );
  });

  it("a set value is the value, and a second apply does nothing", () => {
    holds(
      fc.property(mainCf, set, (text, wanted) => {
        const done = applyParameters(text, [wanted]);
        const collapsed = parameter(done.text, wanted.parameter)?.value.replace(/[\t-\r ]+/g, " ");
        assert.equal(collapsed, wanted.set);
        assert.deepEqual(applyParameters(done.text, [wanted]), { text: done.text, applied: [] });
      }),
    );
  });

  it("records of two applies are taken out together", () => {
    holds(
      fc.property(mainCf, edits, edits, (text, one, two) => {
        const first = applyParameters(text, one);
        const second = applyParameters(first.text, two);
        assert.equal(stripParameters(second.text, [...first.applied, ...second.applied]), text);
      }),
    );
  });

  it("contributors come and go in any order: what one wants is there as long as it wants it, then the old bytes", () => {
    const contributors = fc.array(fc.array(add, { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 4 });
    const steps = fc.array(fc.nat(), { maxLength: 8 });
    holds(
      fc.property(mainCf, contributors, steps, (text, wants, order) => {
        const present = new Set<number>();
        let state = applyParameters(text, []);
        const move = (): void => {
          const wanted = [...present].flatMap((index) => wants[index] ?? []);
          state = applyParameters(stripParameters(state.text, state.applied), wanted);
          for (const edit of wanted) {
            const found = parameter(state.text, edit.parameter)?.value;
            if (found !== undefined)
              for (const element of edit.add) assert.ok(elements(found).join(" ").includes(element));
          }
        };
        for (const step of order) {
          const index = step % wants.length;
          if (!present.delete(index)) present.add(index);
          move();
        }
        present.clear();
        move();
        assert.equal(state.text, text);
      }),
    );
  });

  it("strip of any other text leaves other parameters as they are", () => {
    holds(
      fc.property(mainCf, mainCf, edits, (text, other, wanted) => {
        const stripped = stripParameters(other, applyParameters(text, wanted).applied);
        for (const name of ["myhostname", "mydestination"]) {
          assert.equal(parameter(stripped, name)?.value, parameter(other, name)?.value);
        }
      }),
    );
  });
});

describe("main.cf that others edit between apply and strip", () => {
  const anyText = file(fc.oneof(definition(parameters), fc.constantFrom("# c", "", "\t", "  # d", "myhostname = h")));

  it("lines put in, changed or taken out elsewhere stay so", () => {
    const marked = fc.tuple(
      anyText.map((text) => (text === "" || text.endsWith("\n") ? text : `${text}\n`)),
      anyText.filter((text) => !/^([\t-\r ]*(#[^\n]*)?\n)*[\t-\r ]+[^#\s]/.test(text)),
    );
    holds(
      fc.property(marked, edits, otherLines, ([before, after], wanted, theirs) => {
        const mark = "# MARK\n";
        const done = applyParameters(before + mark + after, wanted);
        fc.pre(done.text.includes(mark));
        assert.equal(
          stripParameters(
            done.text.replace(mark, () => theirs),
            done.applied,
          ),
          before + theirs + after,
        );
      }),
    );
  });

  it("lines put at the end, and a final newline, stay", () => {
    holds(
      fc.property(anyText, edits, otherLines, (text, wanted, theirs) => {
        const done = applyParameters(text, wanted);
        const append = (old: string): string => (old === "" || old.endsWith("\n") ? old : `${old}\n`) + theirs;
        // In an empty file our line brings its own newline.
        assert.equal(stripParameters(append(done.text), done.applied), append(text));
      }),
    );
  });

  const word = fc.constantFrom("192.0.2.7", "!192.0.2.8", "hash:/theirs", ...ours.filter((one) => !one.includes(" ")));
  const glue = fc.constantFrom(" ", ", ", "\n  ", "\n# theirs\n\t", ",");

  it("words put before or behind the value stay, byte for byte", () => {
    const line = definition(["mynetworks"]).filter((text) => /=.*\S/s.test(text) && !/,\s*$/.test(text));
    const theirWord = fc.constantFrom("192.0.2.7", "!192.0.2.8");
    holds(
      fc.property(
        otherLines,
        line,
        otherLines,
        some,
        at,
        theirWord,
        fc.boolean(),
        (top, middle, end, wanted, side, their, front) => {
          const text = `${top}${middle}\n${end}`;
          const done = applyParameters(text, [{ parameter: "mynetworks", add: wanted, at: side }]);
          const edit = (old: string): string => {
            const own = old.slice(top.length, old.length - end.length);
            const [, head = "", list = "", tail = ""] = /^([^=]*=[\s]*)(.*?)(\s*)$/s.exec(own) ?? [];
            return top + head + (front ? `${their} ${list}` : `${list} ${their}`) + tail + end;
          };
          assert.equal(stripParameters(edit(done.text), done.applied), edit(text));
        },
      ),
    );
  });

  it("a value that they have rewritten over other lines keeps their words and loses ours", () => {
    const theirs = fc.array(fc.tuple(fc.nat(), word), { maxLength: 3 });
    const drop = fc.array(fc.nat(), { maxLength: 2 });
    const line = fc.option(
      definition(["mynetworks"]).filter((text) => !text.includes("check_")),
      { nil: null },
    );
    const single = fc.subarray(
      ours.filter((one) => !one.includes(" ")),
      { minLength: 1 },
    );
    holds(
      fc.property(
        otherLines,
        line,
        single,
        at,
        seed,
        theirs,
        drop,
        fc.array(glue, { minLength: 20, maxLength: 20 }),
        (top, middle, wanted, side, start, more, less, glues) => {
          const end = middle === null ? "" : "myorigin = x\n";
          const text = middle === null ? top : `${top}${middle}\n${end}`;
          const done = applyParameters(text, [{ parameter: "mynetworks", add: wanted, at: side, seed: start }]);
          fc.pre(done.applied.length > 0);
          const added = done.applied.flatMap((one) => ("element" in one ? [one] : []));
          const list = elements(parameter(done.text, "mynetworks")?.value ?? "");
          for (const index of less) if (list.length > 0) list.splice(index % list.length, 1);
          for (const [index, one] of more) list.splice(index % (list.length + 1), 0, one);
          const rewritten = list.map((one, index) => (glues[index] ?? " ") + one).join("");
          const stripped = stripParameters(`${top}mynetworks =${rewritten}\n${end}`, done.applied);

          const rest = [...list];
          for (const one of added.toReversed()) {
            const place = one.side === "first" ? rest.indexOf(one.element) : rest.lastIndexOf(one.element);
            if (place >= 0) rest.splice(place, 1);
          }
          assert.ok(stripped.startsWith(top) && stripped.endsWith(end));
          const comments = (old: string): number => old.split("# theirs").length;
          assert.equal(comments(stripped), comments(rewritten), "a comment of theirs was lost");
          const created = middle === null;
          // Emptied by hand is a setting of theirs; emptied by taking ours out is not.
          const bare = (rest.length === 0 && rest.length < list.length) || rest.join(" ") === elements(start).join(" ");
          assert.deepEqual(elements(parameter(stripped, "mynetworks")?.value ?? ""), created && bare ? [] : rest);
          assert.equal(parameter(stripped, "mynetworks") === undefined, created && bare);
        },
      ),
    );
  });

  it("a set value that they have changed stays theirs", () => {
    holds(
      fc.property(
        otherLines,
        fc.constantFrom("", "relayhost =\n", "relayhost = old\n", "relayhost=[old]:25  \n"),
        otherLines,
        (top, line, end) => {
          const done = applyParameters(top + line + end, [{ parameter: "relayhost", set: "[192.0.2.1]:25" }]);
          const edited = done.text.replace("[192.0.2.1]:25", "theirs");
          assert.equal(stripParameters(edited, done.applied), edited);
        },
      ),
    );
  });
});

describe("master.cf, whatever it looks like", () => {
  it("strip undoes apply byte for byte, what is wanted is there, and a second apply adds nothing", () => {
    holds(
      fc.property(masterCf, serviceEdits, (text, all) => {
        const wanted = possible(text, all);
        const done = applyServices(text, wanted);
        assert.ok(isSubsequence(text, done.text), "a byte was lost");
        assert.deepEqual(applyServices(done.text, wanted), { text: done.text, applied: [] });
        for (const edit of wanted) {
          const service = services(done.text).findLast((one) => `${one.name}/${one.type}` === edit.service);
          const value =
            service?.overrides.findLast((one) => one.parameter === edit.parameter)?.value ?? edit.seed ?? "";
          for (const element of edit.add) assert.ok(` ${elements(value).join(" ")} `.includes(` ${element} `), element);
        }
        const applied = JSON.parse(JSON.stringify(done.applied)) as typeof done.applied;
        assert.equal(stripServices(done.text, applied), text);
      }),
    );
  });

  it("every other service, argument and override is as before", () => {
    holds(
      fc.property(masterCf, serviceEdits, (text, all) => {
        const wanted = possible(text, all);
        const others = (file: string): unknown[] =>
          services(file).map(({ overrides, ...rest }) => ({
            ...rest,
            line: 0,
            overrides: overrides.filter(({ parameter: name }) => !wanted.some((edit) => edit.parameter === name)),
          }));
        assert.deepEqual(others(applyServices(text, wanted).text), others(text));
      }),
    );
  });

  it("a service that is not there is refused with those that are", () => {
    holds(
      fc.property(masterCf, fc.constantFrom(...serviceNames), (text, service) => {
        const there = services(text).map((one) => `${one.name}/${one.type}`);
        fc.pre(!there.includes(service));
        assert.throws(
          () => applyServices(text, [{ service, parameter: "x", add: ["y"] }]),
          (error) => error instanceof ServiceNotFound && error.existing.every((one) => there.includes(one)),
        );
      }),
    );
  });

  it("lines that others put in or at the end stay", () => {
    const whole = masterCf.map((text) => (text === "" || text.endsWith("\n") ? text : `${text}\n`));
    const lines = fc.array(
      fc.constantFrom("# theirs", "", "other unix - - n - - lmtp", "x inet n - y - - smtpd -o a=b"),
      { maxLength: 3 },
    );
    const theirLines = lines.map((all) => all.map((one) => `${one}\n`).join(""));
    holds(
      fc.property(whole, whole, serviceEdits, theirLines, theirLines, (before, after, all, middle, end) => {
        // Else a line of theirs would cut a service in two, and its end be theirs.
        fc.pre(!/^([\t-\r ]*(#[^\n]*)?\n)*[\t-\r ]+[^#\s]/.test(after));
        const mark = "# MARK\n";
        const wanted = possible(before + mark + after, all);
        const done = applyServices(before + mark + after, wanted);
        const edited = done.text.replace(mark, () => middle) + end;
        assert.equal(stripServices(edited, done.applied), before + middle + after + end);
      }),
    );
  });

  it("contributors come and go in any order", () => {
    const contributors = fc.array(serviceEdits, { minLength: 2, maxLength: 3 });
    holds(
      fc.property(masterCf, contributors, fc.array(fc.nat(), { maxLength: 6 }), (text, wants, order) => {
        const present = new Set<number>();
        let state = applyServices(text, []);
        for (const step of [...order, -1]) {
          if (step < 0) present.clear();
          else if (!present.delete(step % wants.length)) present.add(step % wants.length);
          const base = stripServices(state.text, state.applied);
          state = applyServices(
            base,
            possible(
              base,
              [...present].flatMap((index) => wants[index] ?? []),
            ),
          );
        }
        assert.equal(state.text, text);
      }),
    );
  });
});
