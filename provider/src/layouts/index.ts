// Which kind of host is this, and where does it keep its settings? `plain` is the only one that is edited so far.
import { Refusal } from "../host/errors.js";
import type { Snapshot } from "../host/snapshot.js";
import { distributions, type Marker } from "./distributions.js";
import { plain } from "./plain.js";

/** Where a kind of host keeps what our resources write, so that it's read by the daemons and survives. */
export interface Layout {
  readonly name: string;
  /** The file name of our Dovecot fragment; where it goes is found in the configuration's own includes. */
  readonly fragmentName: string;
  /** The master user's password files, without the service's name at the end. */
  passwordFile(dovecotConfig: string): string;
  /** A lookup table of ours. */
  table(name: string, postfixDirectory: string): string;
}

const marked = distributions.flatMap(({ markers }, index) =>
  markers.map((marker) => ({ id: `distribution-${index}`, marker })),
);

/** What observe.sh must look for (its `marker` records). */
export const markerRecords: readonly string[][] = marked.map(({ id, marker }) => ["marker", id, ...sign(marker)]);

function sign(marker: Marker): string[] {
  if ("path" in marker) return ["path", marker.path, ""];
  if ("container" in marker) return ["container", marker.container, ""];
  return ["line", ...marker.line];
}

/** @throws Refusal for a host that a distribution manages. */
export function layoutOf(snapshot: Snapshot): Layout {
  distributions.forEach(({ name, overwrites }, index) => {
    const found = snapshot.markers[`distribution-${index}`];
    if (found !== undefined) {
      throw new Refusal(
        `${snapshot.host} is managed by ${name} (found: ${found}), which this release does not edit: ${overwrites}.`,
        `Make the change by ${name}'s own means. If ${name} is no longer in use here, remove what was found.`,
      );
    }
  });
  return plain;
}
