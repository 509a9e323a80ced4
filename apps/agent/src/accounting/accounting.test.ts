// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Accounting, type WindowTotals } from "./accounting.ts";
import type { QuantitySource } from "./quantity-source.ts";

/** A host whose kernel and probes say what the test writes into them. */
class Host {
  readonly counters = new Map<string, bigint>([["RetransSegs", 0n]]);
  readonly kernel = new Map<string, bigint>([
    ["RetransSegs", 1_000n],
    ["ActiveOpens", 50n],
  ]);
  readonly sums = new Map<string, bigint>();
  readonly unmeasured = new Set<string>();
  onRead = (): void => undefined;

  accounting(): Accounting {
    const source: QuantitySource = {
      read: () => {
        this.onRead();
        return new Map(this.kernel);
      },
      counted: {
        RetransSegs: { signal: "tcp_retransmits", counter: "RetransSegs" },
        ActiveOpens: { signal: "tcp_connections", measures: ["opened", "closed"], where: { role: "client" }, times: 2n },
      },
    };
    return new Accounting([source], () => new Map(this.counters));
  }

  window(): WindowTotals {
    return {
      isMeasured: (signal) => !this.unmeasured.has(signal),
      total: (signal, measure, where) => (where?.["role"] === "client" ? this.sums.get(`${signal} ${measure}`) : undefined),
    };
  }
}

/** The quantity's row of the window that ends now. */
function next(host: Host, accounting: Accounting, quantity: string): [counted: bigint, kernel: bigint] | undefined {
  const row = accounting.compare(accounting.read(), host.window()).find((account) => account.quantity === quantity);
  return row === undefined ? undefined : [row.counted, row.kernel];
}

describe("Accounting", () => {
  it("holds a counter's rise against the kernel's, window by window", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    host.counters.set("RetransSegs", 7n);
    host.kernel.set("RetransSegs", 1_008n);
    expect(next(host, accounting, "RetransSegs")).toEqual([7n, 8n]);
    host.counters.set("RetransSegs", 8n);
    expect(next(host, accounting, "RetransSegs")).toEqual([1n, 0n]);
  });

  it("sums a signal's measures, from the second window on: the first one's rows began before the first reading", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    host.sums.set("tcp_connections opened", 5n).set("tcp_connections closed", 2n);
    host.kernel.set("ActiveOpens", 64n);
    expect(next(host, accounting, "ActiveOpens")).toBeUndefined();
    host.kernel.set("ActiveOpens", 78n);
    expect(next(host, accounting, "ActiveOpens")).toEqual([14n, 14n]);
  });

  it("says nothing of a quantity whose signal is not measured, is not read, or has no figure of the kernel's", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    host.unmeasured.add("tcp_retransmits");
    expect(next(host, accounting, "RetransSegs")).toBeUndefined();
    expect(next(host, accounting, "ActiveOpens")).toBeUndefined();
    host.unmeasured.clear();
    host.kernel.delete("RetransSegs");
    expect(next(host, accounting, "RetransSegs")).toBeUndefined();
  });

  it("leaves out the window in which a file cannot be read, and the one after it", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    host.onRead = () => {
      throw new Error("ENOENT");
    };
    expect(next(host, accounting, "RetransSegs")).toBeUndefined();
    host.onRead = () => undefined;
    expect(next(host, accounting, "RetransSegs")).toBeUndefined();
    expect(next(host, accounting, "RetransSegs")).toEqual([0n, 0n]);
  });

  it("leaves out a window in which the kernel's figure fell", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    host.kernel.set("RetransSegs", 10n);
    expect(next(host, accounting, "RetransSegs")).toBeUndefined();
    host.kernel.set("RetransSegs", 12n);
    expect(next(host, accounting, "RetransSegs")).toEqual([0n, 2n]);
  });

  it("lets a counter that was taken back catch up in the next window", () => {
    const host = new Host();
    host.counters.set("RetransSegs", 5n);
    const accounting = host.accounting();
    accounting.start();
    host.counters.set("RetransSegs", 3n);
    expect(next(host, accounting, "RetransSegs")).toEqual([0n, 0n]);
    host.counters.set("RetransSegs", 9n);
    expect(next(host, accounting, "RetransSegs")).toEqual([4n, 0n]);
  });

  it("reads the kernel's figures again when a counter moved meanwhile", () => {
    const host = new Host();
    const accounting = host.accounting();
    accounting.start();
    // The probe counts while the file is being read, and the kernel a little later.
    host.onRead = () => {
      host.counters.set("RetransSegs", 1n);
      host.onRead = () => {
        host.kernel.set("RetransSegs", 1_001n);
      };
    };
    expect(next(host, accounting, "RetransSegs")).toEqual([1n, 1n]);
  });
});
