// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { InstallationSecrets } from "../../postgres/installation-secrets.repository.ts";
import { Cursors } from "./cursors.ts";

async function cursorsOf(secret: string): Promise<Cursors> {
  const cursors = new Cursors({ get: async () => Buffer.from(secret) } as unknown as InstallationSecrets);
  await cursors.onModuleInit();
  return cursors;
}
const purpose = { organisationId: "o1", list: "hosts", of: { sort: "name", q: "web" } };

describe("a cursor", () => {
  it("gives its place back, whatever the order of what was asked for", async () => {
    const cursors = await cursorsOf("one");
    const cursor = cursors.seal(purpose, ["wéb-1", 7]);
    expect(cursors.open({ ...purpose, of: { q: "web", sort: "name" } }, cursor)).toEqual(["wéb-1", 7]);
  });

  it.each([
    ["another organisation's", { ...purpose, organisationId: "o2" }],
    ["another list's", { ...purpose, list: "audit" }],
    ["another order's", { ...purpose, of: { sort: "-name", q: "web" } }],
  ])("is refused where it is %s", async (_, of) => {
    const cursors = await cursorsOf("one");
    const cursor = cursors.seal(of, ["a"]);
    expect(() => cursors.open(purpose, cursor)).toThrow("no cursor of this list");
  });

  it("of another installation, torn or made up is refused", async () => {
    const cursors = await cursorsOf("one");
    const cursor = cursors.seal(purpose, ["a"]);
    const forged = `${Buffer.from('["b"]').toString("base64url")}.${cursor.split(".")[1]}`;
    for (const text of [(await cursorsOf("two")).seal(purpose, ["a"]), cursor.slice(1), `${cursor}.x`, forged, "", ".", "0", "%00", "[]"])
      expect(() => cursors.open(purpose, text)).toThrow("no cursor of this list");
  });
});
