// SPDX-License-Identifier: Apache-2.0
import { type Filter, type HostAttribute, hostAttributes, isTagKey, matchesFilter, tagName } from "@waggle/query";
import type { KnownHost } from "./coverage.ts";

/** What the hosts have for one key: `values[i]` is that of `hosts[i]` (an id). Hosts without a value are left out. */
export interface HostValues {
  readonly hosts: readonly string[];
  readonly values: readonly string[];
}

/** Whether a key names something that is known of hosts and stands in no row: `kernel`, `tag.env`. */
export function isHostKey(key: string): boolean {
  return isTagKey(key) || (hostAttributes as readonly string[]).includes(key);
}

/** The value of a host for such a key; empty = unknown, or no such tag. */
export function hostValue(host: KnownHost, key: string): string {
  if (!isTagKey(key)) return host.attributes[key as HostAttribute];
  const name = tagName(key);
  // Tags are called what people like, also `constructor`.
  return Object.hasOwn(host.tags, name) ? (host.tags[name] as string) : "";
}

/** Whether a host passes filters on `host` and on what is known of hosts. A host is meant by its name or by its id. */
export function matchesHost(filters: readonly Filter[], host: KnownHost): boolean {
  return filters.every((filter) => {
    if (filter.key !== "host") return matchesFilter(filter, hostValue(host, filter.key));
    const byName = matchesFilter(filter, host.name);
    const byId = matchesFilter(filter, host.id);
    return filter.negated ? byName && byId : byName || byId;
  });
}

/** The values of hosts for each of the keys that is known of hosts. */
export function hostValuesOf(keys: readonly string[], hosts: readonly KnownHost[]): ReadonlyMap<string, HostValues> {
  return new Map(
    keys.filter(isHostKey).map((key) => {
      const known = hosts.filter((host) => hostValue(host, key) !== "");
      return [key, { hosts: known.map((host) => host.id), values: known.map((host) => hostValue(host, key)) }];
    }),
  );
}

/** Keys of the tags that any of the hosts has. */
export function tagKeysOf(hosts: readonly KnownHost[]): readonly string[] {
  const keys = new Set<string>();
  for (const host of hosts) for (const key of Object.keys(host.tags)) keys.add(key);
  return [...keys].sort();
}
