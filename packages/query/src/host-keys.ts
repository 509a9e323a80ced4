// SPDX-License-Identifier: Apache-2.0

/** What is known of a host besides its name and tags, and may be filtered and grouped by, of any signal. */
export const hostAttributes = ["kernel", "distribution", "architecture", "agent_version"] as const;
export type HostAttribute = (typeof hostAttributes)[number];

/** `tag.env` is the tag `env` in any case; plain `env` is where the signal has no dimension of that name. */
export const TAG_PREFIX = "tag.";

/** What a tag's key looks like. */
export const TAG_KEY_FORM = /^[a-z][a-z0-9_./-]{0,62}$/;

export function isTagKey(key: string): boolean {
  return key.startsWith(TAG_PREFIX) && TAG_KEY_FORM.test(key.slice(TAG_PREFIX.length));
}

/** The tag that a key `tag.…` names. */
export function tagName(key: string): string {
  return key.slice(TAG_PREFIX.length);
}
