// What a preview tells of each resource beyond its edits: who may do what from then on, and what would make the move fail.
// One entry a resource class; pure.
import type { Site } from "../host/planning.js";
import type { Answer } from "../host/snapshot.js";
import type { Effect, Finding } from "../plan/schema.js";
import { dovecotFindings, dovecotEffects } from "./foresight-dovecot.js";
import { masterEffects, masterFindings } from "./foresight-master.js";
import {
  acceptanceEffects,
  acceptanceFindings,
  outboundEffects,
  xclientEffects,
  xclientFindings,
} from "./foresight-postfix.js";

export interface Foresight<A = Readonly<Record<string, unknown>>> {
  /** The arguments as far as a preview may use them: no password travels, none is made. */
  args?(args: A): A;
  /** What stands for an answer of the host that only an `up` asks for. */
  readonly answers?: Readonly<Record<string, Answer>>;
  effects(args: A, site: Site): readonly Effect[];
  findings(args: A, site: Site): readonly Finding[];
}

/** observe.sh records that findings need. */
export const foresightRecords: readonly (readonly string[])[] = [["surroundings"]];

/** Binds an entry's own type of arguments, which check has made sure of. */
function entry<A>(foresight: Foresight<A>): Foresight {
  return foresight as unknown as Foresight;
}

export const foresight: Readonly<Record<string, Foresight>> = {
  DovecotProxyTrust: entry({ effects: dovecotEffects, findings: dovecotFindings }),
  PostfixXclientTrust: entry({ effects: xclientEffects, findings: xclientFindings }),
  MasterUser: entry({
    args: (args) => withoutPassword(args),
    answers: { hash: { text: "{SHA512-CRYPT}made-in-the-update", status: 0 } },
    effects: masterEffects,
    findings: masterFindings,
  }),
  RelayAcceptance: entry({ effects: acceptanceEffects, findings: acceptanceFindings }),
  OutboundRelay: entry({ effects: outboundEffects, findings: () => [] }),
};

function withoutPassword<A extends object>(args: A): A {
  return Object.fromEntries(Object.entries(args).filter(([name]) => name !== "password")) as A;
}
