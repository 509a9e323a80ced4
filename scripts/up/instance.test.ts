// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { instanceIdOf } from "./instance.ts";

it("a data directory that cannot be made is said to be so, with what to do", () => {
  expect(() => instanceIdOf("/proc/waggle-data")).toThrow(/^\/proc\/waggle-data cannot be written by user id \d+ \(ENOENT\); choose another --data/);
});
