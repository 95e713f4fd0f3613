/** Resolves to the program's path. */
export function ensureActionlint(log: (line: string) => void, env?: NodeJS.ProcessEnv): Promise<string>;
