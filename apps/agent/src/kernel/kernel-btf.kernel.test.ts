// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { KERNEL_BTF_PATH, KernelBtf } from "./kernel-btf.ts";

describe("KernelBtf of the running kernel", () => {
  const kernel = KernelBtf.open();
  if (kernel === null) throw new Error(`kernel tests need ${KERNEL_BTF_PATH}`);

  it("knows a tracepoint's arguments, and that there is none of that name", () => {
    expect(kernel.tracepointArguments("inet_sock_set_state")).toEqual(["struct sock *", "int", "int"]);
    expect(kernel.tracepointArguments("sys_exit")).toEqual(["struct pt_regs *", "long int"]);
    expect(kernel.tracepointArguments("no_such_tracepoint")).toBeNull();
    expect([kernel.hasTracepoint("sched_switch"), kernel.hasTracepoint("sched_switc")]).toEqual([true, false]);
  });

  it("finds fields, also those of anonymous members, and only those", () => {
    expect(kernel.hasField("sock_common", "skc_daddr")).toBe(true);
    expect(kernel.hasField("task_struct", "group_leader")).toBe(true);
    expect(kernel.hasField("task_struct", "no_such_field")).toBe(false);
    expect(kernel.hasField("no_such_struct", "pid")).toBe(false);
  });

  it("reads an enumeration as the kernel's own list of names", () => {
    const states = kernel.enumeration("tcp_ca_state");
    expect(states?.get(0)).toBe("TCP_CA_Open");
    expect(states?.get(4)).toBe("TCP_CA_Loss");
    expect(kernel.enumeration("no_such_enumeration")).toBeNull();
  });

  it("refuses what is no BTF, and what is cut off", () => {
    const bytes = readFileSync(KERNEL_BTF_PATH);
    expect(() => new KernelBtf(Buffer.from("ELF, not BTF, and long enough to have a head"))).toThrow("not little-endian BTF");
    expect(() => new KernelBtf(bytes.subarray(0, bytes.length / 2))).toThrow("ends before");
  });
});
