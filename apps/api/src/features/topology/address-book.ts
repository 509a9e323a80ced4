// SPDX-License-Identifier: Apache-2.0

/** Fact names of addresses begin with this; values are lists, separated by spaces. */
export const ADDRESS_FACT = "address:";

/** Values of address facts, and by index who said them: ids of hosts in the range itself, and in the hour before it. */
export interface AddressesRow {
  readonly addresses: readonly string[];
  readonly in_range: readonly (readonly string[])[];
  readonly before: readonly (readonly string[])[];
}

/** Whose address it is. */
export type Holder = { readonly kind: "host"; readonly host: string } | { readonly kind: "ambiguous"; readonly hosts: readonly string[] };

/**
 * Which host is behind which address, over a range. An address that two hosts had in it is nobody's: which of them a connection meant cannot be told. What was
 * said in the hour before counts only where nobody said anything in the range.
 */
export function addressBook(rows: readonly AddressesRow[]): ReadonlyMap<string, Holder> {
  const holders = new Map<string, { readonly inRange: Set<string>; readonly before: Set<string> }>();
  for (const row of rows) {
    row.addresses.forEach((addresses, index) => {
      for (const address of addresses.split(" ")) {
        if (address === "") continue;
        const held = holders.get(address) ?? { inRange: new Set(), before: new Set() };
        holders.set(address, held);
        for (const host of row.in_range[index] ?? []) held.inRange.add(host);
        for (const host of row.before[index] ?? []) held.before.add(host);
      }
    });
  }
  return new Map(
    [...holders].map(([address, { inRange, before }]): [string, Holder] => {
      const hosts = [...(inRange.size > 0 ? inRange : before)].sort();
      return [address, hosts.length === 1 ? { kind: "host", host: hosts[0] as string } : { kind: "ambiguous", hosts }];
    }),
  );
}
