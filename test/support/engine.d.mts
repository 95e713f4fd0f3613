export interface Engine {
  /** The directory to put first on PATH, or "" where the user's own engine is on PATH already. */
  bin: string;
  /** For example "3.259.0". */
  version: string;
}
export function ensureEngine(log: (line: string) => void, env?: NodeJS.ProcessEnv): Promise<Engine>;
