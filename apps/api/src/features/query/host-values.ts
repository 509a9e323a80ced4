// SPDX-License-Identifier: Apache-2.0
import { hostValue, isHostKey } from "@waggle/query";
import type { KnownHost } from "./coverage.ts";

/** What the hosts have for one key: `values[i]` is that of `hosts[i]` (an id). Hosts without a value are left out. */
export interface HostValues {
  readonly hosts: readonly string[];
  readonly values: readonly string[];
}

const valuesOf = new WeakMap<readonly KnownHost[], Map<string, HostValues>>();

/** The values of hosts for each of the keys that is known of hosts. */
export function hostValuesOf(keys: readonly string[], hosts: readonly KnownHost[]): ReadonlyMap<string, HostValues> {
  const found = valuesOf.get(hosts) ?? new Map<string, HostValues>();
  valuesOf.set(hosts, found);
  return new Map(
    keys.filter(isHostKey).map((key) => {
      let values = found.get(key);
      if (values === undefined) {
        const known = hosts.filter((host) => hostValue(host, key) !== "");
        values = { hosts: known.map((host) => host.id), values: known.map((host) => hostValue(host, key)) };
        found.set(key, values);
      }
      return [key, values];
    }),
  );
}
