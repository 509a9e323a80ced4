// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { parseIncident } from "./incident.ts";

const now = Date.UTC(2026, 10, 21, 12);

it.each([
  ["retransmits@now-30m+10m:web", { kind: "retransmits", startMs: now - 1_800_000, endMs: now - 1_200_000, role: "web" }],
  ["rtt@now+90s", { kind: "rtt", startMs: now, endMs: now + 90_000, role: undefined }],
  ["syscalls@now+5m+1h", { kind: "syscalls", startMs: now + 300_000, endMs: now + 3_900_000, role: undefined }],
  ["disk@now-1h+20m:db", { kind: "disk", startMs: now - 3_600_000, endMs: now - 2_400_000, role: "db" }],
  ["connect-failures@2026-11-21T10:00:00Z+1d:db", { kind: "connect-failures", startMs: now - 7_200_000, endMs: now + 79_200_000, role: "db" }],
])("reads %s", (text, incident) => {
  expect(parseIncident(text, now)).toEqual(incident);
});

it.each([
  ["retransmits", "expected kind@start+length"],
  ["floods@now+1m", 'there is no incident "floods"'],
  ["rtt@now+1m:mail", 'there is no role "mail"'],
  ["rtt@yesterday+1m", '"yesterday" is no time'],
])("says what is wrong with %s", (text, why) => {
  expect(() => parseIncident(text, now)).toThrow(why);
});
