// SPDX-License-Identifier: Apache-2.0
import { type Filter, matchesHost, tagKeysOf } from "@waggle/query";
import type { KnownHost } from "./coverage.ts";

/** What is looked up of an organisation's hosts. */
export interface HostIndex {
  readonly byId: ReadonlyMap<string, KnownHost>;
  readonly byName: ReadonlyMap<string, KnownHost>;
  /** Where each stands in the list. */
  readonly positions: ReadonlyMap<KnownHost, number>;
  readonly tagKeys: readonly string[];
}

/** Some of an organisation's hosts. Lists are the same objects as long as the organisation's is: whatever is made of them is found again by them. */
export interface MatchingHosts {
  readonly hosts: readonly KnownHost[];
  readonly ids: readonly string[];
}

/** Pages of single hosts filter by one host each. */
const FILTERS_KEPT_MAX = 256;

const indexes = new WeakMap<readonly KnownHost[], HostIndex>();
const matches = new WeakMap<readonly KnownHost[], Map<string, MatchingHosts>>();

/** The list of a large fleet is the same for all panels of a page and for all who look at one, and so is this. */
export function indexOf(hosts: readonly KnownHost[]): HostIndex {
  let index = indexes.get(hosts);
  if (index === undefined) {
    index = {
      byId: new Map(hosts.map((host) => [host.id, host])),
      byName: new Map(hosts.map((host) => [host.name, host])),
      positions: new Map(hosts.map((host, position) => [host, position])),
      tagKeys: tagKeysOf(hosts),
    };
    indexes.set(hosts, index);
  }
  return index;
}

/** The hosts that pass the filters on hosts. */
export function matchingOf(hosts: readonly KnownHost[], filters: readonly Filter[]): MatchingHosts {
  const known = matches.get(hosts) ?? new Map<string, MatchingHosts>();
  matches.set(hosts, known);
  const key = JSON.stringify(filters);
  let found = known.get(key);
  if (found === undefined) {
    const matching = filters.length === 0 ? hosts : possible(hosts, filters).filter((host) => matchesHost(filters, host));
    found = { hosts: matching, ids: matching.map((host) => host.id) };
    if (known.size >= FILTERS_KEPT_MAX) known.clear();
    known.set(key, found);
  }
  return found;
}

/** Those that can pass, in the list's order: where the filters name hosts, as pages of single hosts do, these. */
function possible(hosts: readonly KnownHost[], filters: readonly Filter[]): readonly KnownHost[] {
  const named = filters.find(({ key, negated, patterns }) => key === "host" && !negated && patterns.every(({ glob }) => !glob));
  if (named === undefined) return hosts;
  const { byId, byName, positions } = indexOf(hosts);
  const found = new Set(named.patterns.flatMap(({ text }) => [byName.get(text) ?? [], byId.get(text) ?? []].flat()));
  return [...found].sort((a, b) => (positions.get(a) ?? 0) - (positions.get(b) ?? 0));
}
