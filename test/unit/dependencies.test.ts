// What is installed with the package: each is judged in SECURITY.md.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Locked {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  hasInstallScript?: boolean;
}

const text = (name: string) => readFileSync(join(__dirname, "../..", name), "utf8");
const { packages } = JSON.parse(text("package-lock.json")) as { packages: Record<string, Locked> };

/** As Node finds it: in the nearest node_modules. */
function placeOf(name: string, from: string): string {
  for (let place = from; ; place = place.slice(0, Math.max(0, place.lastIndexOf("/")))) {
    const path = `${place}${place && "/"}node_modules/${name}`;
    if (packages[path]) return path;
    assert.notEqual(place, "", `${name}, which ${from} needs, is not in package-lock.json`);
  }
}

/** By name. The peer @pulumi/pulumi is the user's own. */
function installedWith(from: string, all = new Map<string, Locked>()): Map<string, Locked> {
  const { dependencies, optionalDependencies } = packages[from] ?? assert.fail(from);
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    if (all.has(name)) continue;
    const place = placeOf(name, from);
    all.set(name, packages[place] ?? {});
    installedWith(place, all);
  }
  return all;
}

describe("the packages that are installed with ours", () => {
  const installed = [...installedWith("provider")];
  const [, section = ""] = /^## What it is built on\n([^]*?)^## /m.exec(text("SECURITY.md")) ?? [];
  const table = section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .join("\n");

  it("are those that SECURITY.md judges", () => {
    const named = [...table.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
    assert.deepEqual(named.sort(), installed.map(([name]) => name).sort());
  });

  it("run no script but those that SECURITY.md names", () => {
    const scripts = installed.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name);
    const [, named = ""] = /run a script when they are installed: ([^]*?), which/.exec(section) ?? [];
    assert.deepEqual(scripts.sort(), [...named.matchAll(/`([^`]+)`/g)].map(([, name]) => name).sort());
  });
});
