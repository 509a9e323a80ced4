// SPDX-License-Identifier: Apache-2.0
import { tagProblem } from "@waggle/query";
import { expect, it } from "vitest";
import { makeFleet } from "./fleet.ts";

it("hosts have the same tags every time, most of them those of production, and every one that the API takes", () => {
  const fleet = makeFleet(7, 500);
  expect(makeFleet(7, 500).map(({ tags }) => tags)).toEqual(fleet.map(({ tags }) => tags));
  for (const { role, tags } of fleet) {
    expect(tags.role).toBe(role);
    for (const [key, value] of Object.entries(tags)) expect(tagProblem(key, value)).toBeUndefined();
  }
  const inProduction = fleet.filter(({ tags }) => tags.env === "prod").length;
  expect(inProduction).toBeGreaterThan(fleet.length / 2);
  expect(inProduction).toBeLessThan(fleet.length);
  expect(new Set(fleet.map(({ tags }) => tags.region)).size).toBe(3);
});
