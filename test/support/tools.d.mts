/** Both resolve to the program's path. */
export function ensureActionlint(log: (line: string) => void, env?: NodeJS.ProcessEnv): Promise<string>;
export function ensureToxiproxy(log: (line: string) => void, env?: NodeJS.ProcessEnv): Promise<string>;
