// SPDX-License-Identifier: Apache-2.0
import { matchesHost, parseWhere } from "@waggle/query";
import { expect, it } from "vitest";
import type { KnownHost } from "./coverage.ts";
import { matchingOf } from "./host-lists.ts";

const host = (id: string, name: string, env: string): KnownHost => ({
  id,
  name,
  enrolledAtMs: 0,
  retiredAtMs: null,
  lastWindowEndMs: null,
  tags: { env },
  attributes: { kernel: "", distribution: "", architecture: "", agent_version: "" },
});
// One is called as another is numbered.
const hosts = [host("1", "web-1", "prod"), host("2", "web-2", "test"), host("3", "1", "prod"), host("4", "db", "prod")];
const vocabulary = { signal: "s", dimensions: [], measures: [], tagKeys: ["env"] };

it.each([
  "",
  "host:web-1",
  "host:db,web-2,web-1",
  "host:1",
  "host:1 env:prod",
  "env:prod host:web-1,web-2 -host:web-1",
  "-host:web-1",
  "host:web-*",
  "host:web-*,db",
  "host:nobody",
])("hosts that `%s` means are those of the list that match it, in its order", (where) => {
  const { filters, problems } = parseWhere(where, vocabulary);
  expect(problems).toBeUndefined();
  const found = matchingOf(hosts, filters ?? []);
  const expected = hosts.filter((one) => matchesHost(filters ?? [], one));
  expect(found).toEqual({ hosts: expected, ids: expected.map(({ id }) => id) });
  expect(matchingOf(hosts, filters ?? [])).toBe(found);
});
