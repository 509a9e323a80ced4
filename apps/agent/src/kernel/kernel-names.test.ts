// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readKernelNames } from "./kernel-names.ts";

/** A kernel whose BTF has these enumerations. */
function kernelWith(enumerations: Record<string, Record<number, string>>) {
  return {
    enumeration: (name: string) => {
      const values = enumerations[name];
      return values === undefined ? null : new Map(Object.entries(values).map(([value, text]) => [Number(value), text]));
    },
  };
}

it("writes drop reasons as the kernel spells them, without the prefix", () => {
  const names = readKernelNames(
    kernelWith({
      skb_drop_reason: { 1: "SKB_CONSUMED", 2: "SKB_DROP_REASON_NOT_SPECIFIED", 3: "SKB_DROP_REASON_NO_SOCKET" },
      skb_drop_reason_subsys: { 0: "SKB_DROP_REASON_SUBSYS_CORE", 2: "SKB_DROP_REASON_SUBSYS_OPENVSWITCH" },
    }),
  );
  expect([1, 2, 3, 99, 0x20005, 0x70001].map(names.dropReason)).toEqual([
    "CONSUMED",
    "NOT_SPECIFIED",
    "NO_SOCKET",
    "reason_99",
    "OPENVSWITCH_5",
    "reason_458753",
  ]);
});

it("calls every reason unknown where the kernel has none", () => {
  expect(readKernelNames(kernelWith({})).dropReason(3)).toBe("unknown");
  expect(readKernelNames(null).dropReason(0)).toBe("unknown");
});

it("names why a connection was reset as the kernel does, and says unknown where it says nothing", () => {
  const names = readKernelNames(kernelWith({ sk_rst_reason: { 0: "SK_RST_REASON_NOT_SPECIFIED", 1: "SK_RST_REASON_NO_SOCKET" } }));
  expect([0, 1, 7, 0xffff].map(names.resetReason)).toEqual(["NOT_SPECIFIED", "NO_SOCKET", "reason_7", "unknown"]);
  expect(readKernelNames(kernelWith({})).resetReason(1)).toBe("unknown");
});

it("names softirqs by the kernel's own list", () => {
  const proc = mkdtempSync(join(tmpdir(), "waggle-net-"));
  mkdirSync(proc, { recursive: true });
  writeFileSync(
    join(proc, "softirqs"),
    "                    CPU0       CPU1\n          HI:          0          0\n      NET_TX:        374         11\n",
  );
  const names = readKernelNames(null, proc);
  rmSync(proc, { recursive: true });
  expect([0, 1, 2].map(names.softirq)).toEqual(["HI", "NET_TX", "softirq_2"]);
});
