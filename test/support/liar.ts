// A host that lies: its `sh` runs the programs as it should, and then tampers with what they answer.
import type { Host } from "./host.js";

export type Program = "observe" | "commit" | "dialogue";

const directory = "/opt/liar";

const sh = `#!/bin/bash
[ $# = 0 ] || exec /bin/sh "$@"
program=$(cat)
case $program in
*'watchdog()'*) lie=${directory}/commit ;;
*'dovecot_part()'*) lie=${directory}/observe ;;
*'carry()'*) lie=${directory}/dialogue ;;
esac
if [ -e "$lie" ]; then
  printf '%s\\n' "$program" | /bin/sh 2>/dev/null | perl "$lie"
else
  printf '%s\\n' "$program" | /bin/sh
fi
`;

/** For Perl: $_ is the whole answer, $n its nonce, @f its frames; what is printed is told. */
const told = String.raw`use strict; binmode STDIN; binmode STDOUT; $| = 1; local $/; $_ = <STDIN>;
my ($n) = /([0-9a-f]{32}) begin/; my @f = split /(?=\n$n )/;
`;

export class Liar {
  constructor(private readonly host: Host) {}

  async begin(): Promise<void> {
    await this.host.run(`mkdir -p ${directory}`);
    await this.host.write("/usr/local/bin/sh", sh, "755");
  }

  /** From now on this program's answer goes through these lines of Perl. */
  async tells(program: Program, perl: string): Promise<void> {
    await this.host.write(`${directory}/${program}`, `${told}${perl}\n`);
  }

  async repents(): Promise<void> {
    await this.host.run(`rm -f ${directory}/*`);
  }
}

/** Lies that any answer can be told with, by what they are. Bytes as Perl writes them. */
export const lies: Readonly<Record<string, string>> = {
  "nothing at all": "",
  garbage: "srand 1; print join '', map { chr int rand 256 } 1 .. 50_000;",
  "cut off early": "print substr $_, 0, 20;",
  ...Object.fromEntries(
    [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => [
      `cut off anywhere (${seed})`,
      `srand ${seed}; print substr $_, 0, int rand(length($_) - 8);`,
    ]),
  ),
  ...Object.fromEntries(
    [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => [
      `flipped bits (${seed})`,
      `srand ${seed}; for my $i (1 .. 9) { substr($_, int rand length, 1) ^= chr(1 << int rand 8) } print;`,
    ]),
  ),
  ...Object.fromEntries(
    [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => [
      `a frame left out (${seed})`,
      `srand ${seed}; splice @f, 1 + int rand(@f - 2), 1; print @f;`,
    ]),
  ),
  "all frames twice": "print map { ($_, $_) } @f;",
  "all frames in another order": "my $end = pop @f; print reverse(@f), $end;",
  "shuffled frames": "my $end = pop @f; srand 3; print((sort { rand() <=> .5 } @f), $end);",
  "another nonce": "my $o = reverse $n; s/$n/$o/g; print;",
  "something behind the end": 'print $_, "\\n$n files 1\\n0 0 0 0\\n/etc/x\\n/etc/x\\n";',
  "words without a frame before the end": 'pop @f; print @f, "\\n$n committed postfix yes\\n", "\\n$n end\\n";',
  "frames of no name":
    'pop @f; print @f, "\\n$n __proto__ __proto__\\nx", "\\n$n value __proto__\\ny", "\\n$n end\\n";',
  "escape sequences everywhere":
    "s/(?<=[A-Za-z.:]) (?=[A-Za-z(])/ \\e]8;;http:\\/\\/evil.example\\a\\x9b31m\\xe2\\x80\\xae<{%fg 1%}>\\r/g; print;",
};

/** Of an observation: numbers that count files and bytes. */
export const numbers: readonly string[] = ["-1", "0", "1e9", "99999999999", "99999999999999999999", "NaN", "2.5", ""];
export const fileCount = (number: string) => `s/^($n files )\\d+/$1 . "${number}"/mge; print;`;
export const fileSize = (number: string) => `s/^(\\d+ \\d+ \\d+ )\\d+$/$1 . "${number}"/mge; print;`;

/** After all but the end has been told. */
export const endless = "pop @f; print @f; print 'x' x 65536 while 1;";
export const silent = "pop @f; print @f; sleep 600;";
