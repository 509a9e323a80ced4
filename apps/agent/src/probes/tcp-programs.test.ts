// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { tcpPrograms } from "./tcp-programs.ts";

/** What is decided about tcp_send_reset on a kernel in which it has these arguments. */
const decideReset = (...args: string[]) =>
  tcpPrograms.find(({ name }) => name === "on_tcp_send_reset")?.decide?.({ tracepointArguments: () => args } as unknown as KernelBtf);

it("reads the reason of a reset only where the tracepoint has one, and says so where it has not", () => {
  expect(decideReset("struct sock *", "struct sk_buff *", "enum sk_rst_reason")).toEqual({ constants: { has_reset_reason: 1 } });
  expect(decideReset("struct sock *", "struct sk_buff *")).toMatchObject({
    constants: { has_reset_reason: 0 },
    signals: { tcp_resets: { state: "fallback" } },
  });
});

it("does not read a tracepoint whose arguments are others than it knows", () => {
  expect(decideReset("struct sk_buff *", "struct sock *")?.unsupported).toContain("tcp_send_reset");
  expect(decideReset("struct sock *", "struct sk_buff *", "int")).toMatchObject({ constants: { has_reset_reason: 0 } });
});
