// SPDX-License-Identifier: Apache-2.0
import { createHash, hash } from "node:crypto";
import type { Statement } from "./sql.ts";

/** Of lists: the ids of a fleet are in many statements, and the same object in all of them while the fleet's list is kept. */
const digests = new WeakMap<readonly unknown[], string>();

function digestOf(values: readonly unknown[]): string {
  let digest = digests.get(values);
  if (digest === undefined) {
    digest = hash("sha256", JSON.stringify(values), "base64");
    digests.set(values, digest);
  }
  return digest;
}

/** Statements of one name ask the same: text and values are equal, and so is the tenant, which is a value of each; what was there when they were asked, too. */
export function nameOf({ sql, parameters, asOf }: Statement): string {
  const name = createHash("sha256").update(sql);
  if (asOf !== undefined) name.update(`\nas of ${asOf}`);
  for (const [parameter, value] of Object.entries(parameters))
    name.update(`\n${parameter}=${Array.isArray(value) ? `list:${digestOf(value)}` : JSON.stringify(value)}`);
  return name.digest("base64");
}

/** Names an organisation and some of its hosts. */
export function scopeName({ tenant, hosts }: { readonly tenant: string; readonly hosts: readonly string[] | null }): string {
  return nameOf({ sql: "", parameters: { tenant, hosts: hosts ?? "all" } });
}

/**
 * Whose rows a statement reads.
 * @throws TypeError if it does not say
 */
export function tenantOf({ sql, parameters }: Statement): string {
  const [, name = ""] = /\btenant = \{(p\d+):String\}/.exec(sql) ?? [];
  const tenant = parameters[name];
  if (typeof tenant !== "string") throw new TypeError("a statement without a tenant");
  return tenant;
}

/** Statements of one kind ask the same of other times or hosts, and take about as long. */
export function kindOf({ sql }: Statement): string {
  return hash("sha256", sql, "base64");
}
