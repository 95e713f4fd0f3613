// The process in which mocked.ts runs a program: reads what to run from stdin, prints what was registered.
import * as pulumi from "@pulumi/pulumi";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks.js";
import { isRpcSecret, unwrapRpcSecret } from "@pulumi/pulumi/runtime/rpc.js";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import type { Mocked, MockOptions, Registered } from "./mocked.js";

async function main(): Promise<Mocked> {
  const { program, config, project, stack, state } = JSON.parse(await text(process.stdin)) as Required<MockOptions> & {
    program: string;
  };
  const resources: Registered[] = [];
  const current = interceptRequests();
  await pulumi.runtime.setMocks(
    {
      call: ({ inputs }) => inputs as Record<string, unknown>,
      newResource: ({ type, name, inputs: given }) => {
        const inputs = given as Record<string, unknown>;
        const clear = Object.fromEntries(Object.entries(inputs).map(([key, value]) => [key, inTheClear(value)]));
        const request = current();
        resources.push({
          ...{ type, name, inputs: clear, parent: request?.getParent() ?? "" },
          secretInputs: Object.keys(inputs).filter((key) => isRpcSecret(inputs[key])),
          additionalSecretOutputs: request?.getAdditionalsecretoutputsList() ?? [],
        });
        return { id: `${name}-id`, state: { ...inputs, ...state[type] } };
      },
    },
    project,
    stack,
    false,
    "organization",
  );
  pulumi.runtime.setAllConfig(config);
  const module = (await import(pathToFileURL(program).href)) as Record<string, unknown>;
  const exports = (module["default"] ?? module) as Record<string, unknown>;
  const resolved = await Promise.all(
    Object.entries(exports)
      .filter(([name]) => name !== "__esModule" && name !== "default")
      .map(async ([name, value]) => {
        const output = pulumi.output(value) as pulumi.Output<unknown>;
        const known = await new Promise((resolve) => output.apply(resolve));
        return [name, { value: known, secret: await (output as unknown as Secrecy).isSecret }] as const;
      }),
  );
  await pulumi.runtime.disconnect();
  return { resources, exports: Object.fromEntries(resolved) };
}

/** Of an Output; the SDK's declarations leave it out. */
interface Secrecy {
  readonly isSecret: Promise<boolean>;
}

interface Request {
  getParent(): string;
  getAdditionalsecretoutputsList(): string[];
}

/** Mocks are told neither the parent nor which outputs are secret: what they are called for at this moment knows. */
function interceptRequests(): () => Request | undefined {
  let current: Request | undefined;
  const prototype = MockMonitor.prototype as {
    registerResource: (this: unknown, request: Request, callback: unknown) => Promise<void>;
  };
  const { registerResource } = prototype;
  prototype.registerResource = function (request, callback) {
    current = request;
    return registerResource.call(this, request, callback);
  };
  return () => current;
}

function inTheClear(value: unknown): unknown {
  const open: unknown = unwrapRpcSecret(value);
  if (typeof open !== "object" || open === null) return open;
  if (Array.isArray(open)) return open.map(inTheClear);
  return Object.fromEntries(Object.entries(open).map(([key, part]) => [key, inTheClear(part)]));
}

main()
  .then((mocked) => {
    process.stdout.write(JSON.stringify(mocked));
  })
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
