export function ensureImages<Name extends string = "bookworm" | "trixie">(
  log: (line: string) => void,
  names?: readonly Name[],
): Promise<Record<Name, string>>;
