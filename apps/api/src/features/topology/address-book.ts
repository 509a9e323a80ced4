// SPDX-License-Identifier: Apache-2.0

/** Fact names of addresses begin with this; values are lists, separated by spaces. */
export const ADDRESS_FACT = "address:";

/** A host that said, in the range or in the hour before it, that it has these addresses. */
export interface AddressRow {
  readonly host_id: string;
  readonly addresses: string;
  /** Said in the range itself, 0 = only in the hour before. */
  readonly in_range: number;
}

/** Whose address it is. */
export type Holder = { readonly kind: "host"; readonly host: string } | { readonly kind: "ambiguous"; readonly hosts: readonly string[] };

/**
 * Which host is behind which address, over a range. An address that two hosts had in it is nobody's: which of them a connection meant cannot be told. What was
 * said in the hour before counts only where nobody said anything in the range.
 */
export function addressBook(rows: readonly AddressRow[]): ReadonlyMap<string, Holder> {
  const holders = new Map<string, { readonly inRange: Set<string>; readonly before: Set<string> }>();
  for (const { host_id: host, addresses, in_range: inRange } of rows) {
    for (const address of addresses.split(" ")) {
      if (address === "") continue;
      const held = holders.get(address) ?? { inRange: new Set(), before: new Set() };
      holders.set(address, held);
      (Number(inRange) > 0 ? held.inRange : held.before).add(host);
    }
  }
  return new Map(
    [...holders].map(([address, { inRange, before }]): [string, Holder] => {
      const hosts = [...(inRange.size > 0 ? inRange : before)].sort();
      return [address, hosts.length === 1 ? { kind: "host", host: hosts[0] as string } : { kind: "ambiguous", hosts }];
    }),
  );
}
