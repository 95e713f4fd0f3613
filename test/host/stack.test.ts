// The harness itself: a stack with one dynamic resource, through the real engine.
import { dynamic } from "@pulumi/pulumi";
import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createStack, pulumi, type TestStack } from "../support/stack.js";

interface NoteInputs {
  path: string;
  text: string;
}

/** Writes its text to a file, so that a test sees from outside what the engine had done. */
const note: dynamic.ResourceProvider<NoteInputs, NoteInputs> = {
  async create(inputs) {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(inputs.path, inputs.text);
    return { id: inputs.path, outs: inputs };
  },
  async update(_id, _olds, news) {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(news.path, news.text);
    return { outs: news };
  },
  async delete(id) {
    const { rm } = await import("node:fs/promises");
    await rm(id);
  },
};

class Note extends dynamic.Resource {
  constructor(inputs: NoteInputs) {
    super(note, "note", { ...inputs });
  }
}

describe("a stack of the test harness", function () {
  const path = join(tmpdir(), `note-${String(process.pid)}`);
  const program = (text: string) => () => {
    new Note({ path, text });
    return Promise.resolve({ text });
  };
  let stack: TestStack;

  before(async () => {
    stack = await createStack(program("one"));
  });
  after(() => {
    stack.remove();
    rmSync(path, { force: true });
  });

  it("creates nothing in a preview", async () => {
    assert.deepEqual((await stack.preview()).changes, { create: 2 });
    assert.equal(existsSync(path), false);
  });

  it("creates what the program declares", async () => {
    assert.deepEqual((await stack.up()).changes, { create: 2 });
    assert.equal(readFileSync(path, "utf8"), "one");
    assert.equal((await stack.outputs())["text"]?.value, "one");
  });

  it("changes nothing when nothing changed", async () => {
    assert.deepEqual((await stack.up()).changes, { same: 2 });
    assert.deepEqual((await stack.refresh()).changes, { same: 2 });
  });

  it("takes a changed program", async () => {
    assert.deepEqual((await stack.up(program("two"))).changes, { update: 1, same: 1 });
    assert.equal(readFileSync(path, "utf8"), "two");
  });

  it("rejects with what the engine said when the program fails", async () => {
    const failing = () => Promise.reject(new Error("no such mail host"));
    await assert.rejects(stack.preview(failing), /no such mail host/);
  });

  it("destroys what it created", async () => {
    assert.deepEqual((await stack.destroy()).changes, { delete: 2 });
    assert.equal(existsSync(path), false);
    const { checkpoint } = JSON.parse(await stack.exportState()) as {
      checkpoint: { latest: { resources?: unknown[] } };
    };
    assert.deepEqual(checkpoint.latest.resources ?? [], []);
  });
});

describe("the CLI of the test harness", () => {
  let cwd: string;
  before(() => {
    cwd = mkdtempSync(join(tmpdir(), "program-"));
    symlinkSync(resolve("node_modules"), join(cwd, "node_modules"));
    writeFileSync(join(cwd, "Pulumi.yaml"), "name: mail\nruntime: nodejs\n");
    writeFileSync(join(cwd, "package.json"), "{}");
    writeFileSync(join(cwd, "index.ts"), `export const greeting: string = "hello";\n`);
  });
  after(() => {
    rmSync(cwd, { recursive: true, force: true });
  });

  it("runs a TypeScript program in its own directory and keeps the state between calls", async () => {
    assert.equal((await pulumi(["stack", "init", "test"], { cwd })).code, 0);
    const up = await pulumi(["up", "--yes", "--skip-preview"], { cwd });
    assert.equal(up.code, 0, up.stdout + up.stderr);
    assert.equal((await pulumi(["stack", "output", "greeting"], { cwd })).stdout.trim(), "hello");
  });

  it("tells a failure by its code and its output", async () => {
    const { code, stderr } = await pulumi(["stack", "select", "nowhere"], { cwd });
    assert.notEqual(code, 0);
    assert.match(stderr, /no stack named 'nowhere' found/);
  });
});
