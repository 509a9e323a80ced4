// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { FLEET_METRICS, type FleetMetric, levelOf, scaleLabels } from "./metrics";

const metric = (id: FleetMetric["id"]): FleetMetric => {
  const found = FLEET_METRICS.find((m) => m.id === id);
  if (!found) throw new Error(id);
  return found;
};

it("the share of retransmits rises evenly from 0.1 % to 8 %", () => {
  const retransmits = metric("retransmits");
  expect([0, 0.0001, 0.04, 0.08, 1].map((v) => levelOf(retransmits, v))).toEqual([1, 1, 5, 8, 8]);
  expect(scaleLabels(retransmits)).toEqual({ low: "0.1 % and less", high: "8 % and more" });
});

it("times rise by factors, from 1 ms to 1 s", () => {
  const rtt = metric("rtt");
  expect([1e5, 1e6, 3e7, 1e9, 1e10].map((v) => levelOf(rtt, v))).toEqual([1, 1, 5, 8, 8]);
  expect(scaleLabels(rtt)).toEqual({ low: "1 ms and less", high: "1 s and more" });
});
