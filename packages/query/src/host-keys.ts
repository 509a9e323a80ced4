// SPDX-License-Identifier: Apache-2.0
import { matchesFilter } from "./match.ts";
import type { Filter } from "./terms.ts";

/** What is known of a host besides its name and tags, and may be filtered and grouped by, of any signal. */
export const hostAttributes = ["kernel", "distribution", "architecture", "agent_version"] as const;
export type HostAttribute = (typeof hostAttributes)[number];

/** `tag.env` is the tag `env` in any case; plain `env` is where the signal has no dimension of that name. */
export const TAG_PREFIX = "tag.";

/** What a tag's key looks like. */
export const TAG_KEY_FORM = /^[a-z][a-z0-9_./-]{0,62}$/;

/** Of one host. */
export const TAGS_MAX = 32;
const TAG_VALUE_LENGTH_MAX = 128;

/** What is wrong with a tag, in words; undefined: nothing. */
export function tagProblem(key: string, value: string): string | undefined {
  if (!TAG_KEY_FORM.test(key)) return "a tag's key begins with a lower-case letter and has at most 63 of a-z, 0-9, _ . / -";
  if (value.length < 1 || value.length > TAG_VALUE_LENGTH_MAX) return `a tag's value has 1 to ${TAG_VALUE_LENGTH_MAX} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is kept out of tags
  if (/[\u0000-\u001f\u007f-\u009f]/.test(value) || !value.isWellFormed()) return "a tag's value holds no control characters";
  return value.trim() === value ? undefined : "a tag's value neither begins nor ends with a space";
}

export function isTagKey(key: string): boolean {
  return key.startsWith(TAG_PREFIX) && TAG_KEY_FORM.test(key.slice(TAG_PREFIX.length));
}

/** The tag that a key `tag.…` names. */
export function tagName(key: string): string {
  return key.slice(TAG_PREFIX.length);
}

/** Whether a key names something that is known of hosts and stands in no row: `kernel`, `tag.env`. */
export function isHostKey(key: string): boolean {
  return isTagKey(key) || (hostAttributes as readonly string[]).includes(key);
}

/** A host as far as filters know it. */
export interface HostFacts {
  readonly id: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<HostAttribute, string>>;
}

/** The value of a host for a key of `isHostKey`; empty = unknown, or no such tag. */
export function hostValue(host: HostFacts, key: string): string {
  if (!isTagKey(key)) return host.attributes[key as HostAttribute];
  const name = tagName(key);
  // Tags are called what people like, also `constructor`.
  return Object.hasOwn(host.tags, name) ? (host.tags[name] as string) : "";
}

/** Whether a host passes filters on `host` and on what is known of hosts. A host is meant by its name or by its id. */
export function matchesHost(filters: readonly Filter[], host: HostFacts): boolean {
  return filters.every((filter) => {
    if (filter.key !== "host") return matchesFilter(filter, hostValue(host, filter.key));
    const byName = matchesFilter(filter, host.name);
    const byId = matchesFilter(filter, host.id);
    return filter.negated ? byName && byId : byName || byId;
  });
}

/** Keys of the tags that any of the hosts has, in order. */
export function tagKeysOf(hosts: Iterable<Pick<HostFacts, "tags">>): readonly string[] {
  const keys = new Set<string>();
  for (const host of hosts) for (const key of Object.keys(host.tags)) keys.add(key);
  return [...keys].sort();
}
