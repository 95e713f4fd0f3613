// What the Dovecot resources ask of a snapshot: its configuration as it would be without ours, and where ours goes.
import type { Edit } from "../../host/formats.js";
import { Refusal } from "../../host/errors.js";
import { withoutOurs } from "../../host/plan.js";
import type { Site } from "../../host/planning.js";
import type { DovecotFacts } from "../../host/snapshot.js";
import { dialect as dialectOf, type Dialect } from "../../dovecot/dialect.js";
import { renderFragment, type FragmentEdit } from "../../dovecot/fragment.js";
import { addInclude } from "../../dovecot/include-line.js";
import { fragmentSlot } from "../../dovecot/slot.js";
import { readTree, type Tree } from "../../dovecot/tree.js";

export interface DovecotSite {
  readonly facts: DovecotFacts;
  readonly dialect: Dialect;
  /** Without anything of ours. */
  readonly tree: Tree;
  readonly fragmentPath: string;
  /** The configuration with these edits of ours in their place. */
  readonly treeWith: (edits: readonly FragmentEdit[]) => Tree;
  /** Edits of the fragment, and of the line that includes it where nothing else does. */
  readonly fragmentEdits: (edits: readonly FragmentEdit[]) => Edit[];
}

export function dovecotSite({ snapshot, layout }: Site): DovecotSite {
  const facts = snapshot.dovecot;
  const dialect = dialectOf(facts?.version ?? "");
  if (!facts || !dialect) {
    throw new Refusal(
      `${snapshot.host} runs Dovecot ${facts?.version ?? "of no version that it tells"}; this release knows 2.3 and 2.4.`,
      "Upgrade Dovecot, or this package.",
    );
  }
  if (facts.settings.status !== 0) {
    throw new Refusal(
      `Dovecot's configuration on ${snapshot.host} is broken already: ${facts.settings.text}`,
      "Correct it until `doveconf -n` is content.",
    );
  }
  const root = facts.configFile;
  const files = new Map<string, string>();
  for (const { path } of snapshot.files.values()) {
    // All in the fragment is ours, also where somebody has deleted the ledger that knew it.
    if (path.endsWith(`/${layout.fragmentName}`)) continue;
    const text = withoutOurs(snapshot, "dovecot", path);
    if (text !== null) files.set(path, text);
  }
  const tree = readTree(root, files, dialect);
  const slot = fragmentSlot(tree, layout.fragmentName);
  return {
    ...{ facts, dialect, tree, fragmentPath: slot.path },
    treeWith(edits) {
      const ours = new Map(files).set(slot.path, renderFragment(edits, dialect));
      if (slot.kind === "include-line") ours.set(root, addInclude(files.get(root) ?? "", slot.path).text);
      return readTree(root, ours, dialect);
    },
    fragmentEdits: (edits) => [
      ...(slot.kind === "include-line" && edits.length > 0
        ? [{ format: "dovecot-include" as const, path: root, edit: { include: slot.path } }]
        : []),
      ...edits.map((edit) => ({ format: "dovecot-fragment" as const, path: slot.path, edit })),
    ],
  };
}
