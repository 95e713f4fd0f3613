// Text from outside, for a reader's eyes: nothing in it may steer a terminal or the engine's display, and it comes to an end.

/**
 * Control, direction and invisible characters, and halves of characters, are shown as \x1b; newlines and tabs stay.
 * `<{%red%}>` would be a colour to the engine.
 */
export function harmless(text: string): string {
  return text
    .replace(
      /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
      (char) => `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`,
    )
    .replaceAll("<{%", "<{ %");
}

/** Harmless, and short: at most so many characters of the text. */
export function printable(text: string, most = 1000): string {
  const whole = text.trim();
  return whole.length > most ? `${harmless(whole.slice(0, most))} [...]` : harmless(whole);
}

/** Plain JSON with every text in it changed, the names of properties too. */
export function everyText<T>(value: T, change: (text: string) => string): T {
  const walk = (part: unknown): unknown => {
    if (typeof part === "string") return change(part);
    if (Array.isArray(part)) return part.map(walk);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, entry]) => [change(key), walk(entry)]));
  };
  return walk(value) as T;
}
