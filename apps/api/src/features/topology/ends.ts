// SPDX-License-Identifier: Apache-2.0

/**
 * One end of an edge as text, so that it can be made and compared in SQL: a letter for its kind, a colon, and which one. `h:` host (its id), `t:` hosts with this value
 * of a tag, `x:` address of no known host, `a:` address that several hosts had, `u:` address not known, `o:` what agents had no room for.
 */
export type End = string;

export const endKinds = { h: "host", t: "tag", x: "external", a: "ambiguous", u: "unknown", o: "other" } as const;
export type EndKind = (typeof endKinds)[keyof typeof endKinds];

export function readEnd(end: End): { readonly kind: EndKind; readonly value: string } {
  const kind = endKinds[end.slice(0, 1) as keyof typeof endKinds];
  if (kind === undefined || end[1] !== ":") throw new TypeError(`"${end}" is no end of an edge`);
  return { kind, value: end.slice(2) };
}
