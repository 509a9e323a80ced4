// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { countCpus, parsePrettyName, readHostFacts } from "./facts.ts";

const fixture = fileURLToPath(new URL("./fixtures/debian12", import.meta.url));

describe("readHostFacts", () => {
  it("reads a Debian host", () => {
    expect(readHostFacts(fixture, { env: "prod" }, { nodename: "web-1", release: "6.1.0-32-cloud-amd64", machine: "x86_64" })).toMatchObject({
      name: "web-1",
      kernelRelease: "6.1.0-32-cloud-amd64",
      architecture: "x86_64",
      distribution: "Debian GNU/Linux 12 (bookworm)",
      cpuCount: 6,
      memoryBytes: 8_131_244n * 1024n,
      tags: { env: "prod" },
    });
  });

  it("leaves unknown what cannot be read", () => {
    expect(readHostFacts("/nonexistent", {})).toMatchObject({ distribution: "", cpuCount: 0, memoryBytes: 0n });
  });
});

describe("parsePrettyName", () => {
  it.each([
    ['PRETTY_NAME="Rocky Linux 9.5 (Blue Onyx)"', "Rocky Linux 9.5 (Blue Onyx)"],
    ["PRETTY_NAME='Alpine Linux v3.20'", "Alpine Linux v3.20"],
    ["PRETTY_NAME=Arch", "Arch"],
    ['PRETTY_NAME="A \\"quoted\\" \\$name"', 'A "quoted" $name'],
    ["NAME=x\n", ""],
  ])("%s", (text, name) => expect(parsePrettyName(text)).toBe(name));
});

describe("countCpus", () => {
  it("counts ranges and single CPUs", () => {
    expect(["0\n", "0-3", "0-3,8,10-11", "", "x"].map(countCpus)).toEqual([1, 4, 7, 0, 0]);
  });
});
