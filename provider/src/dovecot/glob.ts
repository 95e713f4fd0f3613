// Names as glob(3) with GLOB_BRACE finds them for `!include`: sorted bytewise, a leading dot only where it is written.

/** Which of `paths` (sorted, absolute) the pattern finds. Alternatives in braces come in their own order. */
export function globMatches(pattern: string, paths: readonly string[]): string[] {
  return alternatives(pattern).flatMap((one) => {
    const expression = pathExpression(one);
    return paths.filter((path) => expression.test(path));
  });
}

/** The alternatives of `a{b,c}d`: "abd", "acd". Of more than any glob(3) would try: none. */
export function alternatives(pattern: string): string[] {
  let all = [pattern];
  for (;;) {
    const next = all.flatMap(chosen);
    if (next.length > mostAlternatives) return [pattern];
    if (next.every((one, n) => one === all[n])) return all;
    all = next;
  }
}

const mostAlternatives = 1000;

/** With the first brace taken apart. */
function chosen(pattern: string): string[] {
  const open = pattern.indexOf("{");
  const parts = open < 0 ? undefined : bracePart(pattern, open);
  if (!parts || pattern.length > 4096) return [pattern];
  const head = pattern.slice(0, open);
  return parts.choices.map((choice) => `${head}${choice}${parts.rest}`);
}

export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path);
}

function bracePart(pattern: string, open: number): { choices: string[]; rest: string } | undefined {
  const choices: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let i = open; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === "{") depth++;
    if (char === "}") depth--;
    if ((char === "," && depth === 1) || depth === 0) {
      choices.push(pattern.slice(start, i));
      start = i + 1;
    }
    if (depth === 0) return { choices, rest: pattern.slice(start) };
  }
  return undefined;
}

function pathExpression(pattern: string): RegExp {
  const segments = pattern.replace(/\/+/g, "/").split("/").map(segmentExpression);
  return new RegExp(`^${segments.join("/")}$`, "s");
}

function segmentExpression(segment: string): string {
  let expression = /^[*?[]/.test(segment) ? "(?!\\.)" : "";
  for (let i = 0; i < segment.length; i++) {
    const char = segment[i] ?? "";
    const set = char === "[" ? /^\[([!^]?)(\]?[^\]]*)\]/.exec(segment.slice(i)) : null;
    if (char === "*") expression += "[^/]*";
    else if (char === "?") expression += "[^/]";
    else if (set && validRanges(set[2] ?? "")) {
      expression += `(?!/)[${set[1] ? "^" : ""}${(set[2] ?? "").replace(/[\\\]^]/g, "\\$&")}]`;
      i += set[0].length - 1;
    } else if (char === "\\" && i + 1 < segment.length) expression += escaped(segment[++i] ?? "");
    else expression += escaped(char);
  }
  return expression;
}

/** "z-a" is no range: the pattern would be no regular expression. */
function validRanges(set: string): boolean {
  return set !== "" && ![...set.matchAll(/(?=(.)-(.))/gs)].some(([, from = "", to = ""]) => from > to);
}

function escaped(char: string): string {
  return char.replace(/[.*+?^${}()|[\]\\/-]/, "\\$&");
}
