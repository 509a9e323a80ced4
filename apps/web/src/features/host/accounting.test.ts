// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { agreement, worstAccounted } from "./accounting";

it("compares what was counted with what the kernel counted, whichever is more", () => {
  expect(agreement({ quantity: "retransmits", counted: 9_998, kernel: 10_000 })).toBe(0.9998);
  expect(agreement({ quantity: "retransmits", counted: 110, kernel: 100 })).toBeCloseTo(0.909, 3);
  expect(agreement({ quantity: "retransmits", counted: 0, kernel: 0 })).toBe(1);
  expect(agreement({ quantity: "retransmits", counted: 0, kernel: 5 })).toBe(0);
});

it("the worst quantity speaks for all, whatever it is called; one without the kernel's side does not", () => {
  const rows = [
    { quantity: "a", counted: 10, kernel: 10 },
    { quantity: "AttemptFails", counted: 9, kernel: 10 },
    { quantity: "unread", counted: 7, kernel: null },
  ];
  expect(worstAccounted(rows)).toEqual({ quantity: "AttemptFails", ratio: 0.9 });
  expect(worstAccounted([])).toBeNull();
});
