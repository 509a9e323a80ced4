// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { rowsToCount } from "./answer-cost.ts";

it("an answer that several get counts once, and one like it for itself", () => {
  const answer = { meta: { rowsRead: 7 } };
  expect([rowsToCount(answer), rowsToCount(answer), rowsToCount({ ...answer })]).toEqual([7, 0, 7]);
  expect([rowsToCount(undefined), rowsToCount({})]).toEqual([0, 0]);
});
