// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readHostIdentity } from "./identity.ts";

const fixture = fileURLToPath(new URL("./fixtures/debian12", import.meta.url));
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-identity-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("readHostIdentity", () => {
  it("derives a key from the machine id that does not show it", () => {
    const identity = readHostIdentity(fixture, directory);
    expect(identity).toMatchObject({ machineKeySource: "machine-id", bootId: "5c670bed-8323-4717-993a-c26bc8546926", bootTag: 0x5c670bed83234717n });
    expect(identity.machineKey).toMatch(/^[0-9a-f]{64}$/);
    expect(identity.machineKey).not.toContain("3d1219c7");
    expect(readHostIdentity(fixture, join(directory, "other")).machineKey).toBe(identity.machineKey);
  });

  it.each(["", "uninitialized\n"])("makes an id once where /etc/machine-id is %j", (text) => {
    mkdirSync(join(directory, "etc"));
    writeFileSync(join(directory, "etc/machine-id"), text);
    const first = readHostIdentity(directory, join(directory, "state"));
    expect(first.machineKeySource).toBe("generated");
    expect(readHostIdentity(directory, join(directory, "state")).machineKey).toBe(first.machineKey);
    expect(readHostIdentity(directory, join(directory, "another")).machineKey).not.toBe(first.machineKey);
  });
});
