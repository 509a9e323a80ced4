// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { netPrograms } from "./net-programs.ts";

const decideDrops = (...args: string[]) => {
  const reasons = new Map([
    [0, "SKB_NOT_DROPPED_YET"],
    [1, "SKB_CONSUMED"],
  ]);
  const kernel = { tracepointArguments: () => args, enumeration: () => reasons } as unknown as KernelBtf;
  return netPrograms.find(({ name }) => name === "on_kfree_skb")?.decide?.(kernel);
};

it("reads reason and receiving socket of a dropped packet only where the tracepoint has them, and says what is not known without", () => {
  const both = decideDrops("struct sk_buff *", "void *", "enum skb_drop_reason", "struct sock *");
  expect(both).toEqual({ constants: { has_drop_reason: 1, has_rx_socket: 1, reason_not_dropped: 0, reason_consumed: 1 } });
  const reasonOnly = decideDrops("struct sk_buff *", "void *", "enum skb_drop_reason");
  expect(reasonOnly).toMatchObject({
    constants: { has_rx_socket: 0 },
    signals: { packet_drops: { state: "fallback", reason: expect.stringContaining("who was to receive it") } },
  });
  const neither = decideDrops("struct sk_buff *", "void *");
  expect(neither?.signals?.packet_drops?.reason).toMatch(/why it drops packets.*; .*who was to receive it/);
  expect(decideDrops("void *")?.unsupported).toContain("kfree_skb");
});
