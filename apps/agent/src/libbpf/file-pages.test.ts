// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { giveBackFilePages, parseFileMappings } from "./file-pages.ts";

const mapping = (head: string, fields: Readonly<Record<string, number>>): string =>
  [
    head,
    ...Object.entries({ Rss: 400, Private_Dirty: 0, Shared_Dirty: 0, Anonymous: 0, Swap: 0, Locked: 0, ...fields }).map(
      ([name, kB]) => `${name}: ${kB} kB`,
    ),
  ].join("\n");

describe("parseFileMappings", () => {
  it("takes what holds nothing but its file's pages, and never what a loader or a debugger wrote into", () => {
    const smaps = [
      mapping("00400000-00a00000 r--p 00000000 fe:00 77 /usr/bin/node", {}),
      mapping("00a00000-04000000 r-xp 00600000 fe:00 77 /usr/bin/node", { Rss: 30_000 }),
      mapping("04000000-04010000 r--p 03c00000 fe:00 77 /usr/bin/node", { Private_Dirty: 64, Anonymous: 64 }),
      mapping("04010000-04020000 rw-p 03c10000 fe:00 77 /usr/bin/node", {}),
      mapping("05000000-05020000 r-xp 00000000 fe:00 78 /usr/lib/libc.so.6", { Anonymous: 4 }),
      mapping("06000000-06020000 r--s 00000000 fe:00 79 /var/shared", {}),
      mapping("7f0000000000-7f0000010000 r--p 00000000 00:00 0 ", {}),
      mapping("7ffd00000000-7ffd00010000 r-xp 00000000 00:00 0 [vdso]", {}),
      "08000000-08010000 r-xp 00000000 fe:00 80 /old/kernel\nRss: 4 kB",
    ].join("\n");
    expect(parseFileMappings(smaps)).toEqual([
      { start: 0x400000n, end: 0xa00000n, residentBytes: 409_600 },
      { start: 0xa00000n, end: 0x4000000n, residentBytes: 30_720_000 },
    ]);
  });
});

describe("giveBackFilePages", () => {
  it("takes most of this process's file pages out of its memory, and it lives on", () => {
    const fileBytes = (): number => Number(/^RssFile:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1_024;
    const before = fileBytes();
    expect(giveBackFilePages()).toBeGreaterThan(before / 2);
    expect(fileBytes()).toBeLessThan(before / 2);
    expect(JSON.parse(JSON.stringify({ text: "ü".normalize("NFD"), at: new Date(0).toISOString() })).at).toBe("1970-01-01T00:00:00.000Z");
  });
});
