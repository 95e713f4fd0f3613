export interface Containers {
  /** "docker" or "podman". */
  command: string;
  /** Arguments that every `run` needs here. */
  runArgs: string[];
  /** To be added to the environment of every call. */
  env: Record<string, string>;
  /** Containers are processes of this machine, and their addresses can be reached from here. */
  local: boolean;
}
export function ensureContainers(log: (line: string) => void): Promise<Containers>;
export function engine(containers: Containers, args: string[], options?: { seconds?: number }): Promise<string>;
export function cacheDirectory(): Promise<string>;
