// Pulumi from its Go modules, for machines that reach those but not Pulumi's releases. Go checks every module itself.
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../command.mjs";

const SDK = "github.com/pulumi/pulumi/sdk/v3";
const CLI = "github.com/pulumi/pulumi/pkg/v3";
/** The last SDK that holds the host of Node programs as a package of its own module; newer engines work with it. */
const HOST_VERSION = "3.68.0";

/** Puts the programs into `work`/whole/bin: 3 to 6 minutes on two cores. */
export async function buildFromSource({ version, work, log, env }) {
  const goEnv = { ...env, GOFLAGS: "-mod=mod -buildvcs=false", GOWORK: "off", CGO_ENABLED: "0" };
  const bin = join(work, "whole", "bin");
  await mkdir(bin, { recursive: true });
  await run("go", ["version"], { env: goEnv }).catch((error) => {
    throw new Error(`Pulumi cannot be built from source: ${error.message}`);
  });

  log(`building Pulumi ${version} from its Go modules: some minutes, once`);
  // Both at once: one downloads modules while the other compiles.
  const [host] = await Promise.all([
    compile("pulumi-language-nodejs", `${SDK}/nodejs/cmd/pulumi-language-nodejs`, {
      mod: `require ${SDK} v${HOST_VERSION}`,
      flags: "",
    }),
    compile("pulumi", `${CLI}/cmd/pulumi`, {
      // Pulumi's own go.mod has this replace, which Go ignores in a dependency; without it nothing compiles.
      mod: `require ${CLI} v${version}
replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e`,
      flags: `-X ${SDK}/go/common/version.Version=v${version}`,
    }),
  ]);
  const source = (await run("go", ["list", "-m", "-f", "{{.Dir}}", SDK], { cwd: host, env: goEnv })).trim();
  const script = join(bin, "pulumi-resource-pulumi-nodejs");
  await copyFile(join(source, "nodejs", "dist", "pulumi-resource-pulumi-nodejs"), script);
  // Go keeps its modules read-only and without the execute bit.
  await chmod(script, 0o755);

  async function compile(name, source, { mod, flags }) {
    const cwd = join(work, name);
    await mkdir(cwd);
    await writeFile(join(cwd, "go.mod"), `module engine\n\ngo 1.25\n\n${mod}\n`);
    const args = ["build", "-trimpath", "-ldflags", `-s -w ${flags}`, "-o", join(bin, name), source];
    await run("go", args, { cwd, env: goEnv });
    return cwd;
  }
}
