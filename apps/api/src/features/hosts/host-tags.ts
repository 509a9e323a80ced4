// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";

/** The entity tag of the tags that people set on a host. */
export function tagsRevision(ownTags: Readonly<Record<string, string>>): string {
  const entries = Object.entries(ownTags).sort(([a], [b]) => (a < b ? -1 : 1));
  return `"${hash("sha256", JSON.stringify(entries), "hex").slice(0, 16)}"`;
}
