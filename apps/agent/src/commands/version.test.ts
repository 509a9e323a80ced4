// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { agentVersion } from "../version.ts";
import { version } from "./version.ts";

it("tells scripts the same versions as people", async () => {
  const parsed = JSON.parse(await version({ json: true })) as Record<string, string>;
  expect(parsed).toMatchObject({ "waggle-agent": agentVersion, node: process.versions.node });
  expect(await version({ json: false })).toBe(
    Object.entries(parsed)
      .map(([name, value]) => `${name} ${value}`)
      .join("\n"),
  );
});
